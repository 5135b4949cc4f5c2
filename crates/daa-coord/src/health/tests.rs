use super::*;
use proptest::prelude::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn key(n: u8) -> PublicKey {
    PublicKey([n; 32])
}

/// One with signs every `every` milliseconds, for `times`.
fn steady(every: u64, times: u64) -> (Detector, Duration) {
    let mut detector = Detector::started(DetectorConfig::default(), ms(0));
    for n in 1..=times {
        detector.alive(ms(n * every));
    }
    (detector, ms(times * every))
}

#[test]
fn a_silent_peer_is_suspected_at_the_time_that_the_model_says() {
    let (detector, last) = steady(1000, 200);
    // Mean 1 s, pause 2 s, deviation 0.2 s: φ = 8 at 5.61 deviations late (the normal tail of 1e-8), and the logistic
    // form reaches it a little earlier.
    let at = (0..10_000)
        .find(|&n| detector.is_suspect(last + ms(n)))
        .expect("suspected");
    assert!((3900..=4200).contains(&at), "{at} ms");
    assert!(!detector.is_suspect(last + ms(3000)), "late within the pause");
    assert!(
        detector.phi(last + ms(3000)) > 0.2,
        "half of all are still to come: 0.3"
    );
}

#[test]
fn near_the_middle_the_tail_is_the_normal_one() {
    let (detector, last) = steady(1000, 200);
    // Upper tails of the standard normal at 0, 1, 2 and 3 deviations.
    for (deviations, tail) in [(0_u64, 0.5), (1, 0.158_655), (2, 0.022_750), (3, 0.001_350)] {
        let phi = detector.phi(last + ms(3000 + 200 * deviations));
        let got = 10_f64.powf(-phi);
        assert!((got - tail).abs() < 2e-4, "{deviations}: {got} for {tail}");
    }
}

#[test]
fn a_slower_rhythm_is_learnt() {
    let (quick, at) = steady(100, 300);
    assert!(quick.is_suspect(at + ms(3500)), "mean 0.1 s");
    let (slow, at) = steady(5000, 300);
    assert!(!slow.is_suspect(at + ms(6500)), "mean 5 s");
}

#[test]
fn the_monitor_is_bounded_and_pushes_nobody_out() {
    let mut monitor = Monitor::new(DetectorConfig::default(), 2).expect("valid");
    assert!(monitor.follow(key(1), ms(0)) && monitor.follow(key(2), ms(0)));
    assert!(!monitor.follow(key(3), ms(0)));
    assert!(monitor.follow(key(1), ms(9)), "known");
    monitor.alive(&key(3), ms(10));
    assert_eq!(monitor.suspicion(&key(3), ms(10)), None);
    monitor.alive(&key(1), ms(59_000));
    let suspects: Vec<_> = monitor.suspects(ms(60_000)).collect();
    assert_eq!(suspects, [key(2)]);
    monitor.forget(&key(2));
    assert!(monitor.follow(key(3), ms(60_000)));
}

#[test]
fn configurations_out_of_range_are_named() {
    let error = DetectorConfig {
        window: 1,
        ..DetectorConfig::default()
    };
    let error = Monitor::new(error, 1).expect_err("one interval has no deviation");
    assert_eq!(error.to_string(), "window is 1, allowed are 2 to 1000");
    let zero = DetectorConfig {
        least_deviation: ms(0),
        ..DetectorConfig::default()
    };
    assert!(
        zero.validate().is_err(),
        "a deviation of zero would divide by zero"
    );
}

fn opinions(weights: &[u64]) -> Opinions {
    let members = weights
        .iter()
        .enumerate()
        .map(|(at, &weight)| (key(at as u8), weight));
    Opinions::new(OpinionsConfig::default(), members)
}

const fn gone(n: u8) -> Opinion {
    Opinion {
        about: key(n),
        phi_milli: 9_000,
    }
}

#[test]
fn one_voice_each_for_a_while_and_not_about_oneself() {
    let mut heard = opinions(&[1; 4]);
    for n in 0..50 {
        heard.hear(key(0), &[gone(3), gone(3)], ms(n)).expect("a member");
    }
    assert_eq!((heard.weight_against(&key(3), ms(50)), heard.len()), (1, 1));
    assert!(!heard.worth_a_vote(&key(3), ms(50)), "one of four may lie");
    heard.hear(key(1), &[gone(3)], ms(50)).expect("a member");
    assert!(heard.worth_a_vote(&key(3), ms(50)));
    // It takes its word back; the other's fades.
    let fine = Opinion {
        about: key(3),
        phi_milli: 100,
    };
    heard.hear(key(1), &[fine], ms(60)).expect("a member");
    assert!(!heard.worth_a_vote(&key(3), ms(60)));
    assert_eq!(heard.weight_against(&key(3), ms(10_060)), 0);
    heard.hear(key(3), &[gone(3)], ms(60)).expect("a member");
    assert_eq!(heard.weight_against(&key(3), ms(60)), 1, "not about itself");
    let stranger = heard.hear(key(9), &[gone(3)], ms(60));
    assert_eq!(stranger, Err(OpinionError::NotAMember { speaker: key(9) }));
    let many = heard.hear(key(0), &[gone(3); MAX_OPINIONS + 1], ms(60));
    assert_eq!(many, Err(OpinionError::TooMany { found: 129 }));
    heard.set_members([(key(2), 1), (key(3), 1)]);
    assert!(heard.is_empty(), "members that left are forgotten");
}

proptest! {
    #[test]
    fn suspicion_only_grows_in_silence_and_a_sign_ends_it(
        intervals in prop::collection::vec(0_u64..20_000, 0..60),
        silences in prop::collection::vec(0_u64..10_000_000, 2..20),
    ) {
        let mut detector = Detector::started(DetectorConfig::default(), ms(7));
        let mut now = ms(7);
        for interval in intervals {
            now += ms(interval);
            detector.alive(now);
        }
        let mut silences = silences;
        silences.sort_unstable();
        let phis: Vec<f64> = silences.iter().map(|&n| detector.phi(now + ms(n))).collect();
        for phi in &phis {
            prop_assert!(phi.is_finite() && (0.0..=300.0).contains(phi), "{phi}");
        }
        prop_assert!(phis.is_sorted_by(|a, b| *a <= *b + 1e-9), "{phis:?}");
        detector.alive(now + ms(1));
        prop_assert!(!detector.is_suspect(now + ms(1)));
        // A sign from the past changes nothing.
        let before = detector.phi(now + ms(500));
        detector.alive(now);
        prop_assert_eq!(detector.phi(now + ms(500)), before);
    }

    #[test]
    fn the_window_is_bounded(window in 2_usize..50, signs in 0_u64..200) {
        let config = DetectorConfig { window, ..DetectorConfig::default() };
        let mut full = Detector::started(config, ms(0));
        for n in 1..=signs {
            full.alive(ms(n * n));
        }
        // What is older than the window has no influence.
        let mut fresh = Detector::started(config, ms(signs.saturating_sub(window as u64).pow(2)));
        for n in signs.saturating_sub(window as u64) + 1..=signs {
            fresh.alive(ms(n * n));
        }
        if signs >= window as u64 {
            prop_assert_eq!(full.phi(ms(signs * signs + 5000)), fresh.phi(ms(signs * signs + 5000)));
        }
    }

    #[test]
    fn liars_below_a_third_never_make_a_vote_worth_proposing(
        weights in prop::collection::vec(1_u64..1000, 1..12),
        said in prop::collection::vec((0_usize..12, 0_u8..14, 0_u32..20_000, 0_u64..20_000), 0..80),
        liars in prop::collection::vec(any::<bool>(), 12),
    ) {
        let total: u64 = weights.iter().sum();
        let lying: u64 = weights.iter().zip(&liars).filter(|(_, lies)| **lies).map(|(w, _)| w).sum();
        let mut heard = opinions(&weights);
        for (speaker, about, phi_milli, at) in said {
            if liars[speaker] && speaker < weights.len() {
                let opinion = Opinion { about: key(about), phi_milli };
                heard.hear(key(speaker as u8), &[opinion], ms(at)).expect("a member");
            }
        }
        prop_assert!(heard.len() <= weights.len() * weights.len());
        for about in 0..14 {
            prop_assert!(heard.weight_against(&key(about), ms(20_000)) <= lying);
            if lying * 3 <= total {
                prop_assert!(!heard.worth_a_vote(&key(about), ms(20_000)));
            }
        }
    }
}
