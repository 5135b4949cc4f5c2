//! What happens in words.

use crate::consensus::{BlockMessage, Effect, Message, TimerId, WalRecord};
use arc_malachitebft_core_types::{NilOrVal, TimeoutKind, VoteType};

/// One effect as a line.
pub(super) fn tale(at: usize, effect: &Effect) -> String {
    let what = match effect {
        Effect::Wal(record) => format!("logs {}", short_record(record)),
        Effect::Flush => "flushes".to_owned(),
        Effect::Store(decided) => format!("stores block {} of height {}", decided.id(), decided.height()),
        Effect::WalReset { height } => format!("begins height {height}"),
        Effect::Broadcast(message) => format!("says {}", short(message)),
        Effect::Send { to, message } => format!("tells {to} {}", short(message)),
        Effect::ServeOld { to, first, .. } => format!("serves {to} from disk, from height {first}"),
        Effect::SetTimer { id, after } => format!("sets {} for {after:?}", timer(*id)),
        Effect::CancelTimer(id) => format!("cancels {}", timer(*id)),
        Effect::Committed { decided, events, .. } => {
            let events: Vec<_> = events.iter().map(ToString::to_string).collect();
            format!(
                "COMMITS height {} {} in round {}: {}",
                decided.height(),
                decided.id(),
                decided.certificate.round,
                events.join("; ")
            )
        }
        Effect::Halt(error) => format!("HALTS: {error}"),
    };
    format!("node {at} {what}")
}

/// A timer in a few words.
fn timer(id: TimerId) -> String {
    let TimerId::Round(height, timeout) = id else {
        return match id {
            TimerId::Tick => "the timer for agreed time to pass",
            TimerId::Sync => "the timer for asking for blocks",
            _ => "the timer for saying how far it is",
        }
        .to_owned();
    };
    let waits = match timeout.kind {
        TimeoutKind::Propose => "the wait for a proposal".to_owned(),
        TimeoutKind::Prevote => "the wait for more prevotes".to_owned(),
        TimeoutKind::Precommit => "the wait for more precommits".to_owned(),
        TimeoutKind::Rebroadcast => "the wait before saying it again".to_owned(),
        TimeoutKind::FinalizeHeight(wait) => format!("the wait of {wait:?} for late votes"),
    };
    format!("{waits} in round {} of height {height}", timeout.round.as_i64())
}

/// A message in a few words.
fn short(message: &Message) -> String {
    let value = |value: &NilOrVal<crate::consensus::BlockId>| match value {
        NilOrVal::Nil => "nil".to_owned(),
        NilOrVal::Val(id) => id.to_string(),
    };
    match message {
        Message::Vote(vote) => {
            let vote = &vote.message;
            let step = match vote.kind {
                VoteType::Prevote => "prevote",
                VoteType::Precommit => "precommit",
            };
            let (height, round, by) = (vote.height, vote.round.as_i64(), vote.validator);
            format!("{step} {} at {height}/{round} by {by}", value(&vote.value))
        }
        Message::Proposal(proposal) => {
            let proposal = &proposal.message;
            let (height, round, pol) = (
                proposal.height,
                proposal.round.as_i64(),
                proposal.pol_round.as_i64(),
            );
            format!("proposal {} at {height}/{round} (polka {pol})", proposal.value)
        }
        Message::Block(BlockMessage { round, named }) => {
            let (height, id, entries) = (named.height(), named.id(), named.block().entries.len());
            format!("block {id} at {height}/{round} with {entries} commands")
        }
        Message::Polka(polka) => format!(
            "polka for {} at {}/{}",
            polka.value,
            polka.height,
            polka.round.as_i64()
        ),
        Message::RoundProof(proof) => format!("end of round {}/{}", proof.height, proof.round.as_i64()),
        Message::Commands(commands) => format!("{} commands", commands.len()),
        Message::Status { height } => format!("status {height}"),
        Message::SyncRequest { from, count } => format!("question for {count} blocks from {from}"),
        Message::SyncResponse(blocks) => {
            let first = blocks.first().map_or(0, crate::consensus::Decided::height);
            format!("{} blocks from {first}", blocks.len())
        }
    }
}

/// A record in a few words.
pub(super) fn short_record(record: &WalRecord) -> String {
    match record {
        WalRecord::Vote(vote) => short(&Message::Vote(vote.clone())),
        WalRecord::Proposal(proposal) => short(&Message::Proposal(proposal.clone())),
        WalRecord::Block(judged) => {
            let verdict = if judged.valid { "valid" } else { "invalid" };
            format!(
                "{verdict} block {} in round {}",
                judged.named.id(),
                judged.round.as_i64()
            )
        }
        WalRecord::Timeout(height, timeout) => {
            format!("that {} has run out", timer(TimerId::Round(*height, *timeout)))
        }
        WalRecord::Polka(polka) => short(&Message::Polka(polka.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::Height;
    use arc_malachitebft_core_types::{Round, Timeout};

    #[test]
    fn timers_are_told_in_words() {
        let id = TimerId::Round(Height(25), Timeout::prevote(Round::new(2)));
        assert_eq!(timer(id), "the wait for more prevotes in round 2 of height 25");
        let record = WalRecord::Timeout(Height(25), Timeout::propose(Round::new(0)));
        assert_eq!(
            short_record(&record),
            "that the wait for a proposal in round 0 of height 25 has run out"
        );
        assert_eq!(timer(TimerId::Sync), "the timer for asking for blocks");
    }
}
