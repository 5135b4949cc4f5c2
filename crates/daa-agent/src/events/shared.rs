//! How events about shared knowledge read.

use super::EventKind;
use std::fmt;

pub(super) fn fmt(kind: &EventKind, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match kind {
        EventKind::Suggested {
            node,
            topic,
            authors,
            recipes,
        } => {
            write!(f, "node {node:.8} knows what {authors} authors said on {topic}; ")?;
            if recipes.is_empty() {
                return f.write_str("no recipe of them is to be tried");
            }
            f.write_str("to be tried: ")?;
            for (at, recipe) in recipes.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                write!(f, "{comma}{} by {:.8}", recipe.architecture, recipe.author)?;
            }
            Ok(())
        }
        EventKind::SuggestionsMeasured {
            author,
            version,
            thousandths,
            counted,
        } => {
            let usefulness = f64::from(*thousandths) / 1000.0;
            let effect = if *counted {
                "the node's trust follows"
            } else {
                "which was reported before"
            };
            write!(
                f,
                "recipes of {author:.8}, version {version}: usefulness {usefulness:+.3} of -1 to 1, {effect}"
            )
        }
        EventKind::RecipesTold {
            node,
            topic,
            version,
            recipes,
        } => write!(
            f,
            "node {node:.8} tells {recipes} recipes of this search on {topic} as version {version}"
        ),
        EventKind::NotShared { reason } => f.write_str(reason),
        _ => Ok(()),
    }
}
