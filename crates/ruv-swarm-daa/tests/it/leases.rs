//! Memory and compute leased through a ledger.

use super::task;
use ruv_swarm_daa::*;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn work() -> Task {
    task(
        "t",
        json!({ "operation": "sum", "values": [1], "memory_mb": 1024, "compute_units": 8 }),
    )
}

fn coordinator(name: &str, ledger: &ResourceLedger) -> AutonomousResourceCoordinator {
    AutonomousResourceCoordinator::on_ledger(name.to_string(), 4096, ledger)
}

fn leased(ledger: &ResourceLedger) -> (u64, usize, usize) {
    let status = ledger.status();
    (status.leased_memory_mb, status.leases, status.waiting)
}

#[tokio::test]
async fn six_agents_share_a_device_for_four() {
    let ledger = ResourceLedger::start(4096, 32).expect("starts");
    let mut agents: Vec<_> = (0..6)
        .map(|index| coordinator(&format!("agent-{index}"), &ledger).with_patience(Duration::ZERO))
        .collect();
    let mut held = Vec::new();
    for agent in &mut agents {
        match agent.allocate_resources_for_task(&work()).await {
            Ok(allocation) => held.push((agent.agent_id.clone(), allocation.allocation_id)),
            Err(error) => {
                let text = error.to_string();
                assert!(matches!(error, DAAError::MemoryError { .. }), "{text}");
                assert!(text.contains("4096 of 4096 MiB are leased"), "{text}");
                assert_eq!(agent.held(), (0, 0));
            }
        }
    }
    assert_eq!((held.len(), leased(&ledger)), (4, (4096, 4, 0)));
    let (holder, id) = held[0].clone();
    for agent in &mut agents {
        if agent.agent_id == holder {
            continue;
        }
        let stolen = agent.return_resources_autonomous(&id).await;
        assert!(
            matches!(stolen, Err(DAAError::MemoryError { .. })),
            "somebody else's"
        );
    }
    for (holder, id) in &held {
        let agent = agents
            .iter_mut()
            .find(|agent| agent.agent_id == *holder)
            .expect("there");
        agent.return_resources_autonomous(id).await.expect("returned");
        let again = agent.return_resources_autonomous(id).await;
        assert!(
            matches!(again, Err(DAAError::MemoryError { .. })),
            "returned twice"
        );
    }
    assert_eq!(leased(&ledger), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_room_waits_in_line_and_never_are_more_than_four_at_work() {
    let ledger = ResourceLedger::start(4096, 32).expect("starts");
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for index in 0..6 {
        let mut agent = coordinator(&format!("agent-{index}"), &ledger);
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        tasks.push(tokio::spawn(async move {
            for _ in 0..5 {
                let allocation = agent.allocate_resources_for_task(&work()).await?;
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                agent
                    .return_resources_autonomous(&allocation.allocation_id)
                    .await?;
            }
            DAAResult::Ok(())
        }));
    }
    for task in tasks {
        task.await.expect("no panic").expect("granted in time");
    }
    let most = most.load(Ordering::SeqCst);
    assert!((1..=4).contains(&most), "{most}");
    assert_eq!(leased(&ledger), (0, 0, 0));
}

#[tokio::test]
async fn a_waiting_request_is_granted_as_soon_as_there_is_room() {
    let ledger = ResourceLedger::start(1024, 8).expect("starts");
    let (mut first, mut second) = (coordinator("first", &ledger), coordinator("second", &ledger));
    let allocation = first.allocate_resources_for_task(&work()).await.expect("free");
    let waiting = tokio::spawn(async move {
        let granted = second.allocate_resources_for_task(&work()).await.is_ok();
        (second, granted)
    });
    while ledger.status().waiting == 0 {
        tokio::task::yield_now().await;
    }
    first
        .return_resources_autonomous(&allocation.allocation_id)
        .await
        .expect("returned");
    let (second, granted) = waiting.await.expect("no panic");
    assert!(granted && second.held() == (1024, 8));
    assert_eq!(leased(&ledger), (1024, 1, 0));
}

#[tokio::test]
async fn who_stops_waiting_leaves_the_line_and_who_goes_gives_back() {
    let ledger = ResourceLedger::start(1024, 8).expect("starts");
    let mut first = coordinator("first", &ledger);
    first.allocate_resources_for_task(&work()).await.expect("free");
    let mut second = coordinator("second", &ledger);
    let waiting = tokio::spawn(async move { second.allocate_resources_for_task(&work()).await.map(drop) });
    while ledger.status().waiting == 0 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.is_err_and(|error| error.is_cancelled()));
    while ledger.status().waiting > 0 {
        tokio::task::yield_now().await;
    }
    drop(first);
    while ledger.status().leases > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_device_can_never_give_is_refused() {
    let ledger = ResourceLedger::start(1024, 8).expect("starts");
    let mut agent = AutonomousResourceCoordinator::on_ledger("a".to_string(), 1 << 20, &ledger);
    let huge = task("huge", json!({ "memory_mb": 1025 }));
    let refused = agent
        .allocate_resources_for_task(&huge)
        .await
        .map_err(|error| error.to_string());
    assert!(
        refused
            .as_ref()
            .is_err_and(|text| text.contains("the largest suitable device has 1.0 GiB")),
        "{refused:?}"
    );
    let wide = task("wide", json!({ "compute_units": 9 }));
    assert!(matches!(
        agent.allocate_resources_for_task(&wide).await,
        Err(DAAError::CoordinationError { .. })
    ));
    let mut late = work();
    late.deadline = Some(chrono::Utc::now() - chrono::Duration::hours(1));
    assert!(matches!(
        agent.allocate_resources_for_task(&late).await,
        Err(DAAError::MemoryError { message }) if message.contains("deadline")
    ));
    assert_eq!((agent.held(), leased(&ledger)), ((0, 0), (0, 0, 0)));
    for (memory_mb, compute_units) in [(0, 1), (1, 0), (u64::MAX, 1)] {
        assert!(matches!(
            ResourceLedger::start(memory_mb, compute_units),
            Err(DAAError::ConfigError { .. })
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_lease_for_their_tasks_and_return_everything() {
    let ledger = ResourceLedger::start(4096, 32).expect("starts");
    let peers = PeerDirectory::new();
    let mut tasks = Vec::new();
    for index in 0..6 {
        let builder = EnhancedGPUDAAAgentBuilder::new()
            .with_id(format!("agent-{index}"))
            .with_peer_directory(peers.clone())
            .with_resource_ledger(&ledger);
        let agent = builder.build().await.expect("valid");
        tasks.push(tokio::spawn(async move {
            for _ in 0..3 {
                assert!(agent.process_task_autonomously(&work()).await?.success);
            }
            DAAResult::Ok(agent)
        }));
    }
    let mut agents = Vec::new();
    for task in tasks {
        agents.push(task.await.expect("no panic").expect("done"));
    }
    while ledger.status().leases > 0 {
        tokio::task::yield_now().await;
    }
    for agent in &agents {
        assert_eq!(
            agent.get_gpu_metrics().await.expect("metrics").allocations_held,
            0
        );
    }
}
