//! What searches learn from each other: which recipes did well on data of one kind.
//!
//! For [`daa_coord::knowledge`] an insight is bytes; here it is a list of recipes, the best of one finished search, under
//! a topic that names the kind of data. Whoever searches the same space may take recipes of others as suggestions. They
//! become ordinary candidates behind the known ones ([`SearchSpace::suggested`]): they are trained to the first rung and
//! compared, nothing else is believed of them, and the score that their author claims is not read at all. So all that
//! lies can do is to cost at most [`MAX_SUGGESTIONS`] trainings to the first rung.
//!
//! How useful an author was is measured afterwards, by the search itself ([`Advice::measured`]): the share of the search's
//! own candidates that its recipes beat on the first rung, less the share that beat them. An author whose recipes are no
//! better than half of the own ones gains nothing, one whose recipes are worse loses half of its weight, and without
//! weight it is not heard.
//!
//! Who does what: a *node* keeps what is known for its owner, and what trust it has in whom; a *run* of that owner asks it
//! for recipes before its search, and afterwards tells it what it found and how useful the recipes were. The node signs
//! what its owner's runs found and sends it to the other nodes. `daa run --knowledge` asks for all of that.
//!
//! Suggestions are part of the search's configuration, so a run with other suggestions is another run: whoever wants the
//! same model twice gives the same, or none.

use daa_coord::knowledge::{KnowledgeBase, MAX_INSIGHT_PAYLOAD, SignedInsight, Usefulness};
use daa_coord::{PublicKey, ShortText};
use daa_learn::data::InputShape;
use daa_learn::nn::OutputHead;
use daa_learn::search::{
    CandidateId, MAX_SUGGESTIONS, SearchConfig, SearchSpace, Suggestion, TrialResult, TrialSpec,
};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// Recipes in one insight at most.
pub const MAX_RECIPES: usize = 8;

/// Own candidates that must have been compared before anybody is judged by them.
pub const LEAST_OWN: usize = 4;

const SCHEMA: &str = "daa.insight.recipes/1";

/// The payload of an insight: JSON, as architectures are. The best recipe comes first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipes {
    schema: String,
    recipes: Vec<Suggestion>,
}

/// The topic under which recipes for such data are shared: shape of a row, what is predicted, and rows by magnitude.
#[must_use]
pub fn topic(space: &SearchSpace) -> ShortText {
    let input = match space.input {
        InputShape::Flat { features } => format!("flat-{features}"),
        InputShape::Image {
            channels,
            height,
            width,
        } => format!("image-{channels}x{height}x{width}"),
    };
    let output = match space.output {
        OutputHead::Classes { count } => format!("classes-{count}"),
        OutputHead::Regression {} => "regression".to_owned(),
    };
    let rows = space.train_rows.max(1).ilog10();
    ShortText::fitted(&format!("recipes/{input}/{output}/rows-1e{rows}"))
}

/// The payload that tells others of a finished search: its best recipes, at most [`MAX_RECIPES`]; `None` when no trial
/// has a score. What was suggested to this search is told again only if it is the teller's `own`, by its place among the
/// suggestions: recipes of others are theirs to tell.
#[must_use]
pub fn insight(
    config: &SearchConfig,
    specs: &[TrialSpec],
    results: &[TrialResult],
    own: impl Fn(usize) -> bool,
) -> Option<Vec<u8>> {
    let scored = results.iter().filter(|result| result.score_micro > i64::MIN);
    let mut ranked: Vec<(&TrialResult, &TrialSpec)> = scored
        .filter_map(|result| Some((result, specs.iter().find(|spec| spec.id == result.id)?)))
        .filter(|(_, spec)| config.space.suggestion_of(spec.candidate).is_none_or(&own))
        .collect();
    ranked.sort_by(|(a, _), (b, _)| a.ranking(b));
    let mut told: Vec<CandidateId> = Vec::new();
    for (_, spec) in ranked {
        if !told.contains(&spec.candidate) && told.len() < MAX_RECIPES {
            told.push(spec.candidate);
        }
    }
    while !told.is_empty() {
        let recipes = told.iter().map(|&id| config.suggestion(id)).collect();
        let schema = SCHEMA.to_owned();
        let payload = serde_json::to_vec(&Recipes { schema, recipes }).ok()?;
        if payload.len() <= MAX_INSIGHT_PAYLOAD {
            return Some(payload);
        }
        told.pop();
    }
    None
}

/// The recipes in a payload that `space` admits, the best first; nothing if it is no such payload. Whatever the bytes
/// are, this costs time and memory in proportion to their number, which is bounded.
#[must_use]
pub fn recipes(space: &SearchSpace, payload: &[u8]) -> Vec<Suggestion> {
    if payload.len() > MAX_INSIGHT_PAYLOAD {
        return Vec::new();
    }
    match serde_json::from_slice::<Recipes>(payload) {
        Ok(told) if told.schema == SCHEMA => {
            let first = told.recipes.into_iter().take(MAX_RECIPES);
            first.filter(|recipe| space.admits(recipe)).collect()
        }
        _ => Vec::new(),
    }
}

/// How many recipes a payload tells of, as far as `space` admits them.
#[must_use]
pub fn count(space: &SearchSpace, payload: &[u8]) -> usize {
    recipes(space, payload).len()
}

/// Where a suggestion came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Who gave it.
    pub author: PublicKey,
    /// In which version of its insight.
    pub version: u64,
}

/// A suggestion with its source, as it is part of a run's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suggested {
    /// Who gave it, in hexadecimal.
    #[serde(with = "hexadecimal")]
    pub author: PublicKey,
    /// In which version of its insight.
    pub version: u64,
    /// The recipe.
    pub recipe: Suggestion,
}

mod hexadecimal {
    use daa_coord::PublicKey;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(key: &PublicKey, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&key.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PublicKey, D::Error> {
        PublicKey::from_hex(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// What others suggest for one search.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    topic: ShortText,
    /// In the order of the suggestions.
    sources: Vec<Source>,
    suggestions: Vec<Suggestion>,
}

impl Advice {
    /// The recipes of the authors with the most weight: the best of each, then the second of each, until `most` (at most
    /// [`MAX_SUGGESTIONS`]) are there. `said` are insights that hold, with their authors' weights. Known networks,
    /// repetitions, authors without weight, and what `fits` refuses are passed over.
    #[must_use]
    pub fn collect<'a>(
        said: impl IntoIterator<Item = (&'a SignedInsight, u32)>,
        space: &SearchSpace,
        most: usize,
        fits: impl Fn(&Suggestion) -> bool,
    ) -> Self {
        let (topic, known) = (topic(space), space.known_good());
        let fresh = |payload: &[u8]| -> Vec<Suggestion> {
            let mut recipes = recipes(space, payload);
            recipes.retain(|recipe| !known.contains(&recipe.architecture));
            recipes
        };
        let mut authors: Vec<(u32, Source, Vec<Suggestion>)> = said
            .into_iter()
            .filter(|(signed, weight)| *weight > 0 && signed.insight.topic == topic)
            .map(|(signed, weight)| {
                let insight = &signed.insight;
                let source = Source {
                    author: insight.author,
                    version: insight.version,
                };
                (weight, source, fresh(&insight.payload))
            })
            .collect();
        // Authors come in the order of their keys, which decides between equals.
        authors.sort_by_key(|(weight, source, _)| (Reverse(*weight), source.author));
        let (mut sources, mut suggestions) = (Vec::new(), Vec::<Suggestion>::new());
        for place in 0..MAX_RECIPES {
            for (_, source, recipes) in &authors {
                let Some(recipe) = recipes.get(place) else {
                    continue;
                };
                let has_room = suggestions.len() < most.min(MAX_SUGGESTIONS);
                if has_room && !suggestions.contains(recipe) && fits(recipe) {
                    sources.push(*source);
                    suggestions.push(recipe.clone());
                }
            }
        }
        Self {
            topic,
            sources,
            suggestions,
        }
    }

    /// The advice that a run was configured with.
    #[must_use]
    pub fn given(space: &SearchSpace, suggested: &[Suggested]) -> Self {
        let source = |one: &Suggested| Source {
            author: one.author,
            version: one.version,
        };
        Self {
            topic: topic(space),
            sources: suggested.iter().map(source).collect(),
            suggestions: suggested.iter().map(|one| one.recipe.clone()).collect(),
        }
    }

    /// The advice as a part of a run's configuration.
    #[must_use]
    pub fn suggested(&self) -> Vec<Suggested> {
        let both = self.sources.iter().zip(&self.suggestions);
        both.map(|(source, recipe)| Suggested {
            author: source.author,
            version: source.version,
            recipe: recipe.clone(),
        })
        .collect()
    }

    /// What it is about.
    #[must_use]
    pub const fn topic(&self) -> &ShortText {
        &self.topic
    }

    /// The space with these suggestions, instead of those that it had.
    #[must_use]
    pub fn give(&self, space: SearchSpace) -> SearchSpace {
        SearchSpace {
            suggested: self.suggestions.clone(),
            ..space
        }
    }

    /// Where the suggestions came from, in their order.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// How useful each author's suggestions were to the search that tried them, in the order in which authors first
    /// occur. Nobody is judged by fewer than [`LEAST_OWN`] own candidates, or for what was not tried.
    ///
    /// `config` must be that of the search, with these suggestions given.
    #[must_use]
    pub fn measured(
        &self,
        config: &SearchConfig,
        specs: &[TrialSpec],
        results: &[TrialResult],
    ) -> Vec<(Source, Usefulness)> {
        let first_rung = specs.iter().filter(|spec| spec.rung == 0);
        let tried = first_rung.filter_map(|spec| {
            let result = results.iter().find(|result| result.id == spec.id)?;
            Some((config.space.suggestion_of(spec.candidate), result))
        });
        let (suggested, own): (Vec<_>, Vec<_>) = tried.partition(|(place, _)| place.is_some());
        if own.len() < LEAST_OWN || config.space.suggested != self.suggestions {
            return Vec::new();
        }
        let own: Vec<i64> = own.iter().map(|(_, result)| result.score_micro).collect();
        let mut sums: Vec<(Source, i64, i64)> = Vec::new();
        for (place, result) in suggested {
            let Some(&source) = place.and_then(|place| self.sources.get(place)) else {
                continue;
            };
            let value = standing(result.score_micro, &own);
            match sums.iter_mut().find(|(known, ..)| *known == source) {
                Some((_, sum, count)) => {
                    *sum += value;
                    *count += 1;
                }
                None => sums.push((source, value, 1)),
            }
        }
        let mean = |(source, sum, count): (Source, i64, i64)| {
            // Means of −1000 to 1000 are within it.
            (source, Usefulness::new((sum / count) as i32))
        };
        sums.into_iter().map(mean).collect()
    }
}

/// Reports what [`Advice::measured`] said to the trust in the authors. Whoever was reported for this version before, or is
/// not listened to any more, is passed over; returns how many reports counted.
pub fn report(base: &mut KnowledgeBase, topic: &ShortText, measured: &[(Source, Usefulness)]) -> usize {
    let mut counted = 0;
    for (source, usefulness) in measured {
        match base.report(&source.author, topic, source.version, *usefulness) {
            Ok(()) => counted += 1,
            Err(error) => tracing::debug!(%error, "a measured insight does not count"),
        }
    }
    counted
}

/// Thousandths of `own` that are below `score`, less those that are above it.
fn standing(score: i64, own: &[i64]) -> i64 {
    let below = own.iter().filter(|&&other| other < score).count() as i64;
    let above = own.iter().filter(|&&other| other > score).count() as i64;
    (below - above) * 1000 / own.len().max(1) as i64
}

#[cfg(test)]
mod tests;
