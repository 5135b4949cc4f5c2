use super::*;
use daa_base::{Rng, Seed};
use proptest::prelude::*;

/// How long the turns of a member take, in nanoseconds.
#[derive(Debug, Clone, Copy)]
enum Costs {
    Constant(u64),
    Uniform(u64),
    /// Most are short, one in twenty is two hundred times as long.
    Tailed(u64),
}

impl Costs {
    fn draw(self, rng: &mut Rng) -> u64 {
        match self {
            Self::Constant(nanos) => nanos,
            Self::Uniform(most) => 1 + rng.below(most as usize) as u64,
            Self::Tailed(usual) if rng.below(20) == 0 => usual * 200,
            Self::Tailed(usual) => usual,
        }
    }

    const fn most(self) -> u64 {
        match self {
            Self::Constant(nanos) | Self::Uniform(nanos) => nanos,
            Self::Tailed(usual) => usual * 200,
        }
    }
}

fn any_costs() -> impl Strategy<Value = Costs> {
    (0_u8..3, 1_u64..100_000).prop_map(|(kind, nanos)| match kind {
        0 => Costs::Constant(nanos),
        1 => Costs::Uniform(nanos),
        _ => Costs::Tailed(nanos),
    })
}

#[derive(Debug, Clone, Copy)]
struct Client {
    weight: u16,
    costs: Costs,
}

fn any_client() -> impl Strategy<Value = Client> {
    (1_u16..=1000, any_costs()).prop_map(|(weight, costs)| Client { weight, costs })
}

/// A device that does `lanes` turns at a time, and its clients.
struct Device {
    queue: FairQueue<()>,
    clients: Vec<Client>,
    lanes: usize,
    now: u64,
    running: Vec<(u64, u64, Turn)>,
    busy: Vec<u64>,
    rng: Rng,
}

impl Device {
    fn new(clients: &[Client], lanes: usize, seed: u64) -> Self {
        Self {
            queue: FairQueue::new(),
            clients: clients.to_vec(),
            lanes,
            now: 0,
            running: Vec::new(),
            busy: vec![0; clients.len()],
            rng: Seed(seed).stream("turns").rng(),
        }
    }

    fn push(&mut self, client: usize) {
        let weight = Weight::new(self.clients[client].weight).expect("in range");
        self.queue.push(MemberKey(client as u64), weight, ());
    }

    /// Begins turns while there are lanes and items; who gets one gets another item if `refill`.
    fn begin(&mut self, refill: impl Fn(usize) -> bool) {
        while self.running.len() < self.lanes
            && let Some((turn, ())) = self.queue.begin()
        {
            let client = turn.member().0 as usize;
            let cost = self.clients[client].costs.draw(&mut self.rng);
            self.running.push((self.now + cost, cost, turn));
            if refill(client) {
                self.push(client);
            }
        }
    }

    /// The turn that is done first ends.
    fn end(&mut self) -> usize {
        let first = (0..self.running.len()).min_by_key(|&at| self.running[at].0);
        let (at, cost, turn) = self.running.remove(first.expect("a turn is under way"));
        let client = turn.member().0 as usize;
        self.now = at;
        self.busy[client] += cost;
        self.queue.end(turn, Duration::from_nanos(cost));
        client
    }

    /// A client's time over its weight.
    fn level(&self, client: usize) -> f64 {
        self.busy[client] as f64 / f64::from(self.clients[client].weight)
    }

    /// The longest turn of a client over its weight.
    fn stride(&self, client: usize) -> f64 {
        self.clients[client].costs.most() as f64 / f64::from(self.clients[client].weight)
    }

    fn share(&self, client: usize) -> f64 {
        self.busy[client] as f64 / self.busy.iter().sum::<u64>() as f64
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 96 }))]

    /// The bound that the documentation of the queue states, after every turn.
    #[test]
    fn times_over_weights_of_busy_members_stay_together(
        clients in proptest::collection::vec(any_client(), 2..7),
        lanes in 1_usize..5,
        seed in any::<u64>(),
    ) {
        let mut device = Device::new(&clients, lanes, seed);
        (0..clients.len()).for_each(|client| device.push(client));
        let turns = if lanes == 1 { 1.0 } else { lanes as f64 + 1.0 };
        for _ in 0..2000 {
            device.begin(|_| true);
            device.end();
            for a in 0..clients.len() {
                for b in 0..a {
                    let apart = (device.level(a) - device.level(b)).abs();
                    let bound = turns * (device.stride(a) + device.stride(b)) * (1.0 + 1e-9);
                    prop_assert!(apart <= bound, "{a} and {b} are {apart} apart, allowed are {bound}");
                }
            }
        }
    }

    /// Clients that come and go wait for a bounded time, whatever the others do.
    #[test]
    fn nobody_starves(
        clients in proptest::collection::vec(any_client(), 2..6),
        patience in 0_u64..4,
        seed in any::<u64>(),
    ) {
        let mut device = Device::new(&clients, 1, seed);
        let mut since = vec![None; clients.len()];
        for _ in 0..2000 {
            for (client, since) in since.iter_mut().enumerate() {
                // Some always want more, some only now and then, some have several items at once.
                let wants = device.rng.below(1 + patience as usize * client) == 0;
                if wants && since.is_none() {
                    device.push(client);
                    *since = Some(device.now);
                }
            }
            let (before, now) = (device.queue.waiting(), device.now);
            device.begin(|_| false);
            if let Some((_, _, turn)) = device.running.first() {
                prop_assert_eq!(device.queue.waiting(), before - 1);
                let served = turn.member().0 as usize;
                let waited = now - since[served].take().expect("it waited");
                let bound = longest_wait(&device, served);
                prop_assert!((waited as f64) <= bound, "{served} waited {waited}, allowed are {bound}");
                device.end();
            }
        }
    }

    /// However long a member was idle, it is not paid for it: from its return on the bound holds as if it were new.
    #[test]
    fn the_idle_earn_no_credit(
        clients in proptest::collection::vec(any_client(), 2..5),
        alone in 1_usize..3000,
        seed in any::<u64>(),
    ) {
        let mut device = Device::new(&clients, 1, seed);
        (0..clients.len()).for_each(|client| device.push(client));
        // The last gets one turn, and is away while the others have many.
        let last = clients.len() - 1;
        let mut turns = 0;
        while turns < alone {
            device.begin(|client| client != last);
            turns += usize::from(device.end() != last);
        }
        let at_return = device.busy.clone();
        device.push(last);
        for _ in 0..500 {
            device.begin(|_| true);
            device.end();
            let gained = |client: usize| (device.busy[client] - at_return[client]) as f64 / f64::from(clients[client].weight);
            for other in 0..last {
                let (more, bound) = (gained(last) - gained(other), 2.0 * (device.stride(last) + device.stride(other)));
                prop_assert!(more <= bound * (1.0 + 1e-9), "{more} more than {other}, allowed are {bound}");
            }
        }
    }

    #[test]
    fn items_of_one_member_come_out_in_order_and_all(
        pushes in proptest::collection::vec((0_u64..4, 1_u16..=1000), 1..200),
    ) {
        let mut queue = FairQueue::new();
        for (number, &(key, weight)) in pushes.iter().enumerate() {
            queue.push(MemberKey(key), Weight::new(weight).expect("in range"), number);
        }
        let mut seen = BTreeMap::<MemberKey, Vec<usize>>::new();
        while let Some((turn, number)) = queue.begin() {
            seen.entry(turn.member()).or_default().push(number);
            queue.end(turn, Duration::from_micros(number as u64));
        }
        prop_assert_eq!(seen.values().map(Vec::len).sum::<usize>(), pushes.len());
        for (key, numbers) in seen {
            prop_assert!(numbers.is_sorted());
            prop_assert!(numbers.iter().all(|&number| pushes[number].0 == key.0));
        }
        prop_assert_eq!((queue.waiting(), queue.under_way()), (0, 0));
    }
}

/// How long an item at the head of `client` can wait at most. Another client has a turn only while its tag is no
/// greater, and it cannot be further behind than the queue lets anybody fall.
fn longest_wait(device: &Device, client: usize) -> f64 {
    let all = 0..device.clients.len();
    let longest = all.clone().map(|other| device.stride(other)).fold(0.0, f64::max);
    all.filter(|&other| other != client)
        .map(|other| {
            let weight = f64::from(device.clients[other].weight);
            let behind = device.stride(client) + longest + device.stride(other);
            weight * behind + device.clients[other].costs.most() as f64
        })
        .sum()
}

const fn constant(weight: u16, nanos: u64) -> Client {
    let costs = Costs::Constant(nanos);
    Client { weight, costs }
}

#[test]
fn shares_converge_to_weights() {
    let clients = [
        constant(500, 30_000),
        Client {
            weight: 300,
            costs: Costs::Uniform(2_000_000),
        },
        Client {
            weight: 200,
            costs: Costs::Tailed(10_000),
        },
    ];
    for lanes in [1, 3] {
        let mut device = Device::new(&clients, lanes, 1);
        (0..3).for_each(|client| device.push(client));
        for _ in 0..20_000 {
            device.begin(|_| true);
            device.end();
        }
        for (client, want) in [0.5, 0.3, 0.2].into_iter().enumerate() {
            let share = device.share(client);
            assert!(
                (share - want).abs() < 0.005,
                "{client} got {share}, its weight is {want}"
            );
        }
    }
}

/// Shares on `lanes` lanes of clients that have `streams` items each, of which the next comes when the one before is
/// done. Lanes join in the turns of others where `helping`.
fn shares_of_streams(clients: &[Client], lanes: usize, streams: usize, helping: bool) -> Vec<f64> {
    let mut device = Device::new(clients, lanes, 1);
    (0..clients.len() * streams).for_each(|item| device.push(item % clients.len()));
    // The turns under way that have an item.
    let mut with_item = BTreeSet::new();
    for _ in 0..40_000 {
        while device.running.len() < lanes {
            let members = device.running.iter().map(|(_, _, turn)| turn.member());
            let turn = match device.queue.begin_beside(members.filter(|_| helping)) {
                Some(turn) => turn,
                None => match device.queue.begin() {
                    Some((turn, ())) => {
                        with_item.insert(turn.number);
                        turn
                    }
                    None => break,
                },
            };
            let cost = device.clients[turn.member().0 as usize]
                .costs
                .draw(&mut device.rng);
            device.running.push((device.now + cost, cost, turn));
        }
        let client = device.end();
        let ended = |number: &u64| device.running.iter().all(|(_, _, turn)| turn.number != *number);
        if let Some(number) = with_item.iter().copied().find(ended) {
            with_item.remove(&number);
            device.push(client);
        }
    }
    (0..clients.len()).map(|client| device.share(client)).collect()
}

fn assert_shares(shares: &[f64], wanted: &[f64], what: &str) {
    for (client, (share, want)) in shares.iter().zip(wanted).enumerate() {
        assert!(
            (share - want).abs() < 0.03,
            "{what}: {client} got {share}, not {want}"
        );
    }
}

/// A client with one stream fills one lane: what it cannot use is shared by weight among the others, which is max-min
/// fairness. With enough streams, or where lanes can join in its turns, it has its part.
#[test]
fn a_single_stream_is_held_to_a_lane_unless_others_join_in() {
    let clients = [
        constant(800, 900_000),
        constant(150, 1_100_000),
        constant(50, 700_000),
    ];
    let weights = [0.8, 0.15, 0.05];
    assert_shares(&shares_of_streams(&clients, 1, 1, false), &weights, "one lane");
    let held = [0.5, 0.375, 0.125];
    assert_shares(&shares_of_streams(&clients, 2, 1, false), &held, "held to a lane");
    assert_shares(&shares_of_streams(&clients, 2, 2, false), &weights, "two streams");
    assert_shares(
        &shares_of_streams(&clients, 2, 1, true),
        &weights,
        "lanes join in",
    );
    assert_shares(
        &shares_of_streams(&clients, 4, 1, true),
        &weights,
        "more lanes than clients",
    );
    let even = [constant(1000, 900_000), constant(1000, 1_100_000)];
    assert_shares(
        &shares_of_streams(&even, 2, 1, true),
        &[0.5, 0.5],
        "equal weights",
    );
}

/// Who is behind is helped; who waits comes first otherwise.
#[test]
fn lanes_join_in_only_for_who_is_behind() {
    const TURN: Duration = Duration::from_millis(1);
    let mut queue = FairQueue::new();
    assert_eq!(queue.begin_beside([A]), None, "nobody is there");
    queue.push(A, weight(900), ());
    assert_eq!(queue.begin_beside([A]), None, "no turn to join in");
    let first = begins(&mut queue, A);
    let second = queue.begin_beside([A, C]).expect("nobody waits");
    assert_eq!((second.member(), queue.under_way(), queue.waiting()), (A, 2, 0));
    queue.push(B, weight(900), ());
    queue.end(second, TURN);
    assert_eq!(queue.begin_beside([A]), None, "B has had less");
    queue.end(first, TURN);
    let turn = begins(&mut queue, B);
    queue.push(A, weight(900), ());
    queue.end(turn, 20 * TURN);
    queue.push(B, weight(900), ());
    let turn = begins(&mut queue, A);
    let beside = queue.begin_beside([A]).expect("A is behind");
    queue.push(A, weight(900), ());
    assert_eq!(queue.begin_beside([A]), None, "its own items come before help");
    queue.end(beside, TURN);
    queue.end(turn, TURN);
    let last = begins(&mut queue, A);
    queue.end(last, TURN);
}

const fn weight(of: u16) -> Weight {
    match Weight::new(of) {
        Ok(weight) => weight,
        Err(_) => Weight::MIN,
    }
}

const A: MemberKey = MemberKey(1);
const B: MemberKey = MemberKey(2);
const C: MemberKey = MemberKey(3);

fn begins(queue: &mut FairQueue<()>, want: MemberKey) -> Turn {
    let (turn, ()) = queue.begin().expect("something waits");
    assert_eq!(turn.member(), want);
    turn
}

/// A, whose weight is nine times B's, is away for a moment after its second turn, and B's turn begins. Returns how many
/// turns A gets before B when it comes back in time, or when B's turn has ended already.
fn turns_after_absence(in_time: bool) -> usize {
    const TURN: Duration = Duration::from_millis(10);
    let mut queue = FairQueue::new();
    let push = |queue: &mut FairQueue<()>, key| queue.push(key, weight(if key == A { 900 } else { 100 }), ());
    push(&mut queue, A);
    push(&mut queue, B);
    for key in [A, B] {
        let turn = begins(&mut queue, key);
        push(&mut queue, key);
        queue.end(turn, TURN);
    }
    let turn = begins(&mut queue, A);
    queue.end(turn, TURN);
    let turn = begins(&mut queue, B);
    push(&mut queue, B);
    if in_time {
        push(&mut queue, A);
    }
    queue.end(turn, TURN);
    if !in_time {
        push(&mut queue, A);
    }
    let mut turns = 0;
    while let Some((turn, ())) = queue.begin()
        && turn.member() == A
    {
        turns += 1;
        push(&mut queue, A);
        queue.end(turn, TURN);
    }
    turns
}

#[test]
fn who_comes_back_within_a_turn_was_not_idle() {
    // B's tag is 18 of A's turns then, and A's is 2; who was idle begins where B did, at 9.
    assert_eq!((turns_after_absence(true), turns_after_absence(false)), (17, 10));
}

/// A turn begins early only for whom it would be the turn anyway.
#[test]
fn turns_begin_early_only_in_order() {
    const TURN: Duration = Duration::from_millis(1);
    let mut queue = FairQueue::new();
    queue.push(A, weight(900), ());
    queue.push(B, weight(100), ());
    for key in [A, B] {
        let turn = begins(&mut queue, key);
        queue.push(key, weight(if key == A { 900 } else { 100 }), ());
        queue.end(turn, TURN);
    }
    let first = begins(&mut queue, A);
    assert_eq!(queue.begin_early(), None, "A's next comes before B's");
    queue.push(A, weight(900), ());
    let (second, ()) = queue.begin_early().expect("and here it is");
    assert_eq!(second.member(), A);
    queue.end(first, 20 * TURN);
    queue.end(second, 20 * TURN);
    let next = queue.begin_early().map(|(turn, ())| turn.member());
    assert_eq!(next, Some(B), "A has had its part");
}

#[test]
fn what_is_taken_out_does_not_run() {
    let mut queue = FairQueue::new();
    for number in 0..6 {
        queue.push(if number < 4 { A } else { B }, Weight::default(), number);
    }
    assert_eq!(queue.take(A, |number| number % 2 == 1), [1, 3]);
    assert_eq!(queue.take(B, |_| true), [4, 5]);
    assert_eq!(queue.take(C, |_| true), []);
    assert_eq!((queue.waiting(), queue.members()), (2, 1));
    let mut left = Vec::new();
    while let Some((turn, number)) = queue.begin() {
        left.push(number);
        queue.end(turn, Duration::ZERO);
    }
    assert_eq!(left, [0, 2]);
}

/// Who leaves after a long turn and comes back later is still behind those who waited.
#[test]
fn leaving_does_not_wipe_the_slate() {
    let mut queue = FairQueue::new();
    queue.push(A, Weight::MAX, ());
    let long = begins(&mut queue, A);
    queue.push(B, Weight::MAX, ());
    queue.push(B, Weight::MAX, ());
    queue.end(long, Duration::from_secs(1));
    let turn = begins(&mut queue, B);
    queue.push(A, Weight::MAX, ());
    queue.end(turn, Duration::from_millis(1));
    for _ in 0..500 {
        queue.push(B, Weight::MAX, ());
        let turn = begins(&mut queue, B);
        queue.end(turn, Duration::from_millis(1));
    }
}

/// Members that are away are remembered only as far as that matters, and only so many.
#[test]
fn the_books_stay_small() {
    let mut queue = FairQueue::new();
    for key in 100..20_000 {
        queue.push(MemberKey(key), Weight::MIN, ());
        queue.push(A, Weight::MAX, ());
        for _ in 0..2 {
            let (turn, ()) = queue.begin().expect("both wait");
            let cost = if turn.member() == A { 1 } else { 1000 };
            queue.end(turn, Duration::from_nanos(cost));
        }
        assert!(queue.members() <= REMEMBERED + 4, "{} members", queue.members());
        assert!(queue.leaving.len() < 8 && queue.present.len() < 8);
        assert_eq!(
            queue.members(),
            queue.ready.len() + queue.present.len() + queue.ahead.len()
        );
    }
}
