//! What each of the six fields of the memory configuration does, one test each.

use ruv_swarm_daa::gpu::{AdvancedBufferPool, EnhancedGpuMemoryManager, MemoryPressure};
use ruv_swarm_daa::*;

const MIB: u64 = 1 << 20;

/// A manager of 10 MiB and its pool, with a change to the default settings.
fn manager(change: impl Fn(&mut GpuMemoryConfig)) -> (EnhancedGpuMemoryManager, AdvancedBufferPool) {
    let mut manager = EnhancedGpuMemoryManager::new(10).expect("valid");
    let mut config = GpuMemoryConfig {
        buffer_pool_size_mb: 10,
        enable_predictive_allocation: false,
        ..GpuMemoryConfig::default()
    };
    change(&mut config);
    manager.configure(config).expect("valid");
    let pool = manager.buffer_pool();
    (manager, pool)
}

fn take(manager: &mut EnhancedGpuMemoryManager, bytes: u64) -> u64 {
    manager.allocate(bytes, Duration::ZERO).expect("fits")
}

/// Leaves `count` released buffers of so many bytes in the pool.
fn keep(pool: &mut AdvancedBufferPool, count: usize, bytes: u64) {
    let buffers: Vec<_> = (0..count)
        .map(|_| {
            pool.allocate(usize::try_from(bytes).expect("small"))
                .expect("fits")
        })
        .collect();
    for buffer in buffers {
        pool.release(buffer);
    }
}

#[test]
fn pressure_is_reported_where_it_is_monitored() {
    for (enabled, level) in [(true, Some(MemoryPressure::Critical)), (false, None)] {
        let (mut manager, _) = manager(|config| config.enable_pressure_monitoring = enabled);
        take(&mut manager, 10 * MIB);
        assert_eq!(
            (manager.pressure(), manager.is_under_pressure()),
            (level, enabled)
        );
    }
}

#[test]
fn the_pressure_threshold_is_where_the_level_is_high() {
    use MemoryPressure::{High, Low, Medium, None};
    for (threshold, levels) in [(0.8, [None, Low, Medium, High]), (0.4, [High, High, High, High])] {
        for (used, level) in [50, 65, 75, 85].into_iter().zip(levels) {
            let (mut manager, _) = manager(|config| config.pressure_threshold = threshold);
            take(&mut manager, 10 * MIB * used / 100);
            assert_eq!(manager.pressure(), Some(level), "{used} % at {threshold}");
            assert_eq!(
                manager.is_under_pressure(),
                level == High,
                "{used} % at {threshold}"
            );
        }
    }
}

/// Neither is moved to where levels would still rise: what cannot be is refused.
#[test]
fn thresholds_out_of_order_or_range_are_refused_by_name() {
    let told = |pressure, cleanup| {
        let config = GpuMemoryConfig {
            pressure_threshold: pressure,
            cleanup_threshold: cleanup,
            ..GpuMemoryConfig::default()
        };
        let checked = config.validate().map_err(|error| match error {
            DAAError::ConfigError { .. } => error.to_string(),
            error => panic!("{error:?}"),
        });
        let mut manager = EnhancedGpuMemoryManager::new(10).expect("valid");
        assert_eq!(manager.configure(config).is_ok(), checked.is_ok());
        checked.err().unwrap_or_default()
    };
    for (pressure, cleanup, field) in [
        (0.8, 0.5, "`cleanup_threshold` is 0.5, allowed is 0.801 to 1"),
        (0.8, 0.8, "`cleanup_threshold` is 0.8, allowed is 0.801 to 1"),
        (0.8, 1.01, "`cleanup_threshold` is 1.01, allowed is 0.801 to 1"),
        (0.8, f32::NAN, "`cleanup_threshold` is NaN, allowed is 0.801 to 1"),
        (1.0, 1.0, "`pressure_threshold` is 1, allowed is 0.003 to 0.999"),
        (
            0.002,
            0.9,
            "`pressure_threshold` is 0.002, allowed is 0.003 to 0.999",
        ),
        (
            -0.5,
            0.9,
            "`pressure_threshold` is -0.5, allowed is 0.003 to 0.999",
        ),
    ] {
        let told = told(pressure, cleanup);
        assert!(told.contains(field), "{told}");
    }
    for high in 3..=999_u16 {
        for critical in [high + 1, 1000] {
            let share = |thousandths| f32::from(thousandths) / 1000.0;
            assert_eq!(told(share(high), share(critical)), "", "{high} {critical}");
        }
    }
}

/// A level stands until use is clearly below it.
#[test]
fn levels_do_not_flicker() {
    let (mut manager, _) = manager(|_| {});
    take(&mut manager, 10 * MIB * 79 / 100);
    for _ in 0..3 {
        let crumb = take(&mut manager, 10 * MIB * 15 / 1000);
        assert_eq!(manager.pressure(), Some(MemoryPressure::High));
        manager.free(crumb).expect("held");
        assert_eq!(manager.pressure(), Some(MemoryPressure::High));
    }
}

#[test]
fn from_the_clean_up_threshold_on_released_buffers_are_dropped() {
    for (threshold, left) in [(0.9, 6 * MIB), (0.85, 4 * MIB), (0.5, 2 * MIB), (0.4, 0)] {
        let (mut manager, mut pool) = manager(|config| {
            config.cleanup_threshold = threshold;
            config.pressure_threshold = threshold / 2.0;
        });
        take(&mut manager, 5 * MIB / 2);
        keep(&mut pool, 3, 2 * MIB);
        assert_eq!(pool.cached(), left, "{threshold}");
        assert!((manager.in_use() + pool.cached()) as f64 <= f64::from(threshold) * 10.0 * MIB as f64);
        assert!(!manager.needs_cleanup(), "what is kept is no use");
    }
}

/// Use rises, and what is kept makes way before use itself is near the threshold.
#[test]
fn predictive_allocation_makes_room_ahead() {
    let cached_after_the_rise = |enabled| {
        let (mut manager, mut pool) = manager(|config| config.enable_predictive_allocation = enabled);
        keep(&mut pool, 1, 2 * MIB);
        assert_eq!(pool.cached(), 2 * MIB);
        for step in 1..=24 {
            take(&mut manager, MIB / 4);
            let forecast = manager.forecast();
            assert_eq!(forecast.is_some(), enabled);
            assert!(
                forecast.is_none_or(|bound| bound >= (step * MIB / 4) as f64),
                "{forecast:?}"
            );
        }
        assert_eq!(manager.in_use(), 6 * MIB);
        if enabled {
            let bound = manager.forecast().expect("enabled");
            assert!(bound > 7.0 * MIB as f64, "the rise is seen: {bound}");
        }
        pool.cached()
    };
    assert_eq!(
        cached_after_the_rise(false),
        2 * MIB,
        "8 of 10 MiB are below 90 %"
    );
    assert_eq!(cached_after_the_rise(true), 0);
}

#[test]
fn the_circuit_breaker_pauses_where_it_is_enabled() {
    for enabled in [true, false] {
        let (mut manager, _) = manager(|config| config.enable_circuit_breaker = enabled);
        for _ in 0..5 {
            assert!(manager.allocate(11 * MIB, Duration::ZERO).is_err());
        }
        let told = manager
            .allocate(1, Duration::from_secs(1))
            .map_err(|error| error.to_string());
        match (enabled, told) {
            (true, Err(text)) => assert!(text.contains("paused for 29000 ms"), "{text}"),
            (false, Ok(_)) => {}
            (_, told) => panic!("{enabled}: {told:?}"),
        }
    }
}

/// What is refused between successes is no reason to stop.
#[test]
fn only_failures_in_a_row_open_the_breaker() {
    let (mut manager, _) = manager(|_| {});
    for _ in 0..20 {
        assert!(manager.allocate(11 * MIB, Duration::ZERO).is_err());
        take(&mut manager, 1);
    }
}

#[test]
fn the_pool_size_bounds_tickets_and_buffers_together() {
    let (mut manager, mut pool) = manager(|config| config.buffer_pool_size_mb = 4);
    assert_eq!(manager.capacity(), 4 * MIB);
    let ticket = take(&mut manager, 3 * MIB);
    let buffer = pool.allocate(1 << 20).expect("fits");
    assert!(manager.allocate(1, Duration::ZERO).is_err());
    assert!(matches!(pool.allocate(1), Err(DAAError::MemoryError { .. })));
    assert_eq!((manager.in_use(), pool.in_use()), (4 * MIB, MIB));
    manager.free(ticket).expect("held");
    pool.release(buffer);
    assert_eq!((manager.in_use(), pool.in_use(), pool.cached()), (0, 0, MIB));
    // What is kept makes way for tickets, whatever the threshold.
    take(&mut manager, 4 * MIB);
    assert_eq!(
        (manager.in_use(), pool.cached(), manager.high_water()),
        (4 * MIB, 0, 4 * MIB)
    );
}

#[test]
fn a_smaller_pool_gives_up_what_it_kept() {
    let (mut manager, mut pool) = manager(|_| {});
    keep(&mut pool, 4, MIB);
    assert_eq!(pool.cached(), 4 * MIB);
    let config = GpuMemoryConfig {
        buffer_pool_size_mb: 3,
        ..manager.config().clone()
    };
    manager.configure(config).expect("valid");
    assert!(pool.cached() <= 3 * MIB, "{}", pool.cached());
}

/// Buffers of an eighth more are reused, the holder's changes to their length do not matter, and a buffer of another
/// pool goes home.
#[test]
fn buffers_come_back_to_where_they_are_from() {
    let (manager, mut pool) = manager(|_| {});
    let mut other = AdvancedBufferPool::new(1);
    let mut buffer = pool.allocate(90_000).expect("fits");
    buffer.data.truncate(10);
    other.release(buffer);
    assert_eq!((other.cached(), pool.cached(), manager.in_use()), (0, 90_000, 0));
    let again = pool.allocate(80_000).expect("fits");
    assert_eq!((again.data.len(), pool.hits_and_misses()), (90_000, (1, 1)));
    pool.release(again);
    pool.trim();
    assert_eq!(pool.cached(), 0);
    assert!(AdvancedBufferPool::new(0).allocate(1).is_err());
    assert!(matches!(
        AdvancedBufferPool::new(u64::MAX).allocate(usize::MAX),
        Err(DAAError::MemoryError { .. })
    ));
}

/// The agent's manager and its pool are one.
#[tokio::test]
async fn an_agent_follows_its_memory_configuration() {
    let agent = EnhancedGPUDAAAgentBuilder::new().build().await.expect("valid");
    let config = GpuMemoryConfig {
        buffer_pool_size_mb: 2,
        ..GpuMemoryConfig::default()
    };
    agent
        .memory_manager
        .lock()
        .await
        .configure(config)
        .expect("valid");
    let mut pool = agent.buffer_pool.lock().await;
    assert!(pool.allocate(3 << 20).is_err());
    let held = pool.allocate(1 << 20).expect("fits");
    drop(pool);
    let metrics = agent.get_gpu_metrics().await.expect("measured");
    assert_eq!(
        (metrics.memory_capacity_bytes, metrics.memory_in_use_bytes),
        (2 * MIB, MIB)
    );
    agent.buffer_pool.lock().await.release(held);
    assert_eq!(agent.memory_manager.lock().await.in_use(), 0);
}
