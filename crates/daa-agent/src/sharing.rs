//! How a run shares what it learns with the node of its owner: recipes before the search, findings after it.
//!
//! Nothing of it may end a run: what goes wrong is told and done without.

use crate::crew::Home;
use crate::events::{EventKind, SuggestedRecipe};
use crate::knowledge::{Advice, LEAST_OWN, Source, Suggested, count, insight, topic};
use crate::orders::Orders;
use crate::record::RunRecord;
use crate::recorder::Recorder;
use crate::summary::{KnowledgeSummary, SuggestionSummary};
use crate::work::{Ask, MeasuredInsight, Tell};
use daa_coord::knowledge::{SignedInsight, Usefulness};
use daa_coord::{Ed25519, PublicKey, ShortText};
use daa_learn::search::{CandidateId, SearchConfig, SearchSpace, TrialResult, TrialSpec};
use std::time::Duration;

/// Time within which a node of the owner must be reached.
const REACH: Duration = Duration::from_secs(10);

/// Insights that are asked for at most.
const MAX_ASKED: u32 = 16;

/// What a run heard before its search.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) suggested: Vec<Suggested>,
    event: EventKind,
}

impl Heard {
    /// Tells of it.
    pub(crate) fn announce(self, recorder: &Recorder) {
        recorder.emit(self.event);
    }

    fn nothing(reason: String) -> Self {
        let suggested = Vec::new();
        let event = EventKind::NotShared { reason };
        Self { suggested, event }
    }
}

fn nobody() -> String {
    format!(
        "no node of the run's owner was reached within {} s",
        REACH.as_secs()
    )
}

/// Asks the owner's node which recipes are known for data like those of `orders`.
pub(crate) async fn ask(home: &Home, orders: &Orders) -> Heard {
    let Some(node) = home.node(REACH).await else {
        return Heard::nothing(format!("nothing is suggested: {}", nobody()));
    };
    let space = &orders.search().space;
    let topic = topic(space);
    let said = match known(home, node, &topic).await {
        Ok(said) => said,
        Err(reason) => {
            return Heard::nothing(format!(
                "nothing is suggested: node {:.8}: {reason}",
                node.to_hex()
            ));
        }
    };
    let heard = said.iter().map(|(signed, weight)| (signed, *weight));
    let fits = |recipe: &_| orders.has_room_for(recipe);
    let suggested = Advice::collect(heard, space, orders.most_suggestions(), fits).suggested();
    let event = EventKind::Suggested {
        node: node.to_hex(),
        topic: topic.as_str().to_owned(),
        authors: said.len(),
        recipes: recipes(space, &suggested),
    };
    Heard { suggested, event }
}

/// What the node knows on `topic`, as far as it holds: the node is the owner's, but signatures cost little.
async fn known(home: &Home, node: PublicKey, topic: &ShortText) -> Result<Vec<(SignedInsight, u32)>, String> {
    let mut all = Vec::new();
    for place in 0..MAX_ASKED {
        let topic = topic.clone();
        match home.ask(node, &Ask::Known { topic, place }).await {
            Ok(Tell::Known { said: Some(said) }) => all.push(said),
            Ok(Tell::Known { said: None }) => break,
            Ok(Tell::Invalid { reason }) => return Err(reason),
            Ok(_) => return Err(NONSENSE.to_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
    all.retain(|(signed, _)| {
        let author = &signed.insight.author;
        home.authors.contains(author) && signed.verify(&Ed25519, home.chain).is_ok()
    });
    Ok(all)
}

const NONSENSE: &str = "its answer makes no sense";

fn recipes(space: &SearchSpace, suggested: &[Suggested]) -> Vec<SuggestedRecipe> {
    let numbered = (space.known_good().len() as u32..).zip(suggested);
    numbered
        .map(|(candidate, one)| SuggestedRecipe {
            author: one.author.to_hex(),
            version: one.version,
            candidate,
            architecture: one.recipe.architecture.to_string(),
        })
        .collect()
}

/// What a search came to.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) search: &'a SearchConfig,
    pub(crate) suggested: &'a [Suggested],
    pub(crate) specs: &'a [TrialSpec],
    pub(crate) results: &'a [TrialResult],
}

impl Found<'_> {
    /// Tells the owner's node how useful the suggestions were, and what else was found.
    pub(crate) async fn tell(&self, home: &Home, recorder: &Recorder) {
        let Some(node) = home.node(REACH).await else {
            let reason = format!("nothing is told: {}", nobody());
            recorder.emit(EventKind::NotShared { reason });
            return;
        };
        let advice = Advice::given(&self.search.space, self.suggested);
        let measured = advice.measured(self.search, self.specs, self.results);
        if measured.is_empty() && !self.suggested.is_empty() {
            let reason = format!("nobody is judged: fewer than {LEAST_OWN} own candidates were compared");
            recorder.emit(EventKind::NotShared { reason });
        }
        for (source, usefulness) in measured {
            let event = report(home, node, advice.topic(), (source, usefulness)).await;
            recorder.emit(event);
        }
        if let Some(event) = self.publish(home, node, advice.topic()).await {
            recorder.emit(event);
        }
    }

    /// Has the node sign and tell the best recipes.
    async fn publish(&self, home: &Home, node: PublicKey, topic: &ShortText) -> Option<EventKind> {
        // The node signs in its own name, so what it said before is its own.
        let own = |place: usize| self.suggested.get(place).is_some_and(|one| one.author == node);
        let payload = insight(self.search, self.specs, self.results, own)?;
        let recipes = count(&self.search.space, &payload);
        let name = topic.as_str().to_owned();
        let topic = topic.clone();
        let reason = match home.ask(node, &Ask::Found { topic, payload }).await {
            Ok(Tell::Signed { version }) => {
                return Some(EventKind::RecipesTold {
                    node: node.to_hex(),
                    topic: name,
                    version,
                    recipes,
                });
            }
            Ok(Tell::Invalid { reason }) => reason,
            Ok(_) => NONSENSE.to_owned(),
            Err(error) => error.to_string(),
        };
        let reason = format!("nothing is told: node {:.8}: {reason}", node.to_hex());
        Some(EventKind::NotShared { reason })
    }

    /// The same for the summary of the run.
    pub(crate) fn summary(&self, record: &RunRecord) -> KnowledgeSummary {
        let space = &self.search.space;
        let score = |candidate: u32| {
            let first = |spec: &&TrialSpec| spec.candidate == CandidateId(candidate) && spec.rung == 0;
            let spec = self.specs.iter().find(first)?;
            record.trials.get(&spec.id)?.score
        };
        let suggestions = recipes(space, self.suggested)
            .into_iter()
            .map(|one| SuggestionSummary {
                score: score(one.candidate),
                author: one.author,
                version: one.version,
                candidate: one.candidate,
                architecture: one.architecture,
            });
        KnowledgeSummary {
            topic: topic(space).as_str().to_owned(),
            suggestions: suggestions.collect(),
            measured: record.measured.clone(),
            told: record.told.clone(),
            not_shared: record.not_shared.clone(),
        }
    }
}

/// Reports how useful one author was; each author by itself, to know whose report counted.
async fn report(
    home: &Home,
    node: PublicKey,
    topic: &ShortText,
    (source, usefulness): (Source, Usefulness),
) -> EventKind {
    let report = MeasuredInsight {
        author: source.author,
        version: source.version,
        thousandths: usefulness.get(),
    };
    let question = Ask::Measured {
        topic: topic.clone(),
        reports: vec![report],
    };
    let (author, version, thousandths) = (source.author.to_hex(), source.version, usefulness.get());
    let reason = match home.ask(node, &question).await {
        Ok(Tell::Counted { reports }) => {
            return EventKind::SuggestionsMeasured {
                author,
                version,
                thousandths,
                counted: reports > 0,
            };
        }
        Ok(Tell::Invalid { reason }) => reason,
        Ok(_) => NONSENSE.to_owned(),
        Err(error) => error.to_string(),
    };
    EventKind::NotShared {
        reason: format!(
            "the usefulness of {author:.8}, {thousandths} thousandths, is not reported: node {:.8}: {reason}",
            node.to_hex()
        ),
    }
}
