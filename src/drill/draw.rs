//! What is rehearsed where chance decides: the same seed draws the same.

use super::breakage::Break;
use crate::recovery::Scenario;

/// What is already decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decided {
    /// The scenario.
    pub scenario: Option<Scenario>,
    /// What happens to the members.
    pub breakage: Option<Break>,
    /// How many members there are.
    pub members: Option<usize>,
}

/// What is to be rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The scenario.
    pub scenario: Scenario,
    /// What happens to the members; it fits the scenario.
    pub breakage: Break,
    /// How many members there are.
    pub members: usize,
    /// Chooses the members that are hit.
    pub pick: usize,
}

/// The scenarios that chance knows: nothing can be lost in the others.
const SCENARIOS: [Scenario; 4] = [
    Scenario::Follower,
    Scenario::Leader,
    Scenario::Majority,
    Scenario::Total,
];

/// How many members chance knows; three are what most have.
const MEMBERS: [usize; 4] = [3, 3, 3, 5];

/// Draws what is not decided; nothing where what is decided does not fit together.
#[must_use]
pub fn draw(seed: u64, decided: Decided) -> Option<Drawn> {
    let mut state = seed;
    let scenarios = SCENARIOS
        .into_iter()
        .filter(|scenario| match decided.breakage {
            Some(one) => one.fits(*scenario),
            None => drawable().any(|one| one.fits(*scenario)),
        });
    let drawn = one_of(&scenarios.collect::<Vec<_>>(), &mut state);
    let scenario = decided.scenario.or(drawn)?;
    let breaks = drawable().filter(|one| one.fits(scenario));
    let drawn = one_of(&breaks.collect::<Vec<_>>(), &mut state);
    let breakage = decided.breakage.or(drawn)?;
    let members = one_of(&MEMBERS, &mut state)?;
    let pick = usize::try_from(next(&mut state) % 64).ok()?;
    breakage.fits(scenario).then(|| Drawn {
        scenario,
        breakage,
        members: decided.members.unwrap_or(members),
        pick,
    })
}

/// Chance draws disasters only.
fn drawable() -> impl Iterator<Item = Break> {
    Break::ALL.into_iter().filter(|one| one.is_disaster())
}

fn one_of<T: Copy>(of: &[T], state: &mut u64) -> Option<T> {
    let drawn = next(state);
    let count = u64::try_from(of.len()).ok().filter(|count| *count > 0)?;
    of.get(usize::try_from(drawn % count).ok()?).copied()
}

/// `SplitMix64`: the same numbers on every machine and in every release, which no library promises of its own.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_whatever_is_drawn_fits() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let drawn = draw(seed, Decided::default()).unwrap();

            assert_eq!(draw(seed, Decided::default()), Some(drawn));
            assert!(drawn.breakage.fits(drawn.scenario), "{drawn:?}");
            assert!(drawn.breakage.is_disaster(), "{drawn:?}");
            seen.insert((drawn.scenario, drawn.breakage));
        }
        assert!(seen.len() > 12, "{seen:?}");
        // Fixed for ever: a table of an older release can be drawn again.
        assert_eq!(next(&mut 1), 0x910a_2dec_8902_5cc1);
    }

    #[test]
    fn what_is_decided_is_kept_and_what_does_not_fit_together_is_refused() {
        let decided = Decided {
            breakage: Some(Break::DeadSurvivor),
            members: Some(5),
            ..Decided::default()
        };

        let drawn = draw(7, decided).unwrap();

        assert_eq!(drawn.scenario, Scenario::Majority);
        assert_eq!((drawn.breakage, drawn.members), (Break::DeadSurvivor, 5));
        let ended = Decided {
            breakage: Some(Break::ExpiredCertificates),
            ..Decided::default()
        };
        assert!(draw(7, ended).is_some_and(|drawn| drawn.breakage.fits(drawn.scenario)));
        let wrong = Decided {
            scenario: Some(Scenario::Total),
            ..decided
        };
        assert_eq!(draw(7, wrong), None);
    }
}
