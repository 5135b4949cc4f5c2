//! Processes of their own, for faults that need one.

use daa_base::{Clock, ManualClock, Permille, Seed, Timestamp};
use daa_gpu_core::breaker::blame;
use daa_gpu_core::{
    BreakerConfig, Bytes, ComputeContext, ContextConfig, DeviceChoice, DeviceError, ErrorClass, Failover,
    FencingToken, GpuError, Image, Loaded, Role, Slice, Tenant, TenantSpec, Ticket, Weight, Work,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Size of one piece; what the limit leaves over is less than that.
const PIECE: Bytes = Bytes::mib(256);

/// Most pieces: far beyond any limit that the parent sets.
const MOST: usize = 64;

fn config() -> ContextConfig {
    let mut config = ContextConfig {
        device: DeviceChoice::Software,
        cpu_workers: 1,
        ..ContextConfig::default()
    };
    // The pool must not refuse before the driver does.
    config.memory.capacity = Some(Bytes::gib(1024));
    config.memory.max_cached = Bytes::ZERO;
    config
}

fn software() -> Result<ComputeContext, String> {
    ComputeContext::open(&config()).map_err(|error| error.to_string())
}

/// A failover over `primary`, and the clock of its back-off.
fn failover(primary: ComputeContext) -> Result<(Failover, Arc<ManualClock>), String> {
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let mut breaker = BreakerConfig::default();
    (breaker.base, breaker.jitter) = (Duration::from_secs(1), Permille::ZERO);
    let probe = daa_kernels::probe::health().map_err(|error| error.to_string())?;
    let of_failover: Arc<dyn Clock> = clock.clone();
    let rng = Seed(1).stream("child").rng();
    let failover =
        Failover::new(primary, breaker, probe, of_failover, rng).map_err(|error| error.to_string())?;
    Ok((failover, clock))
}

fn ensure(is_so: bool, what: &str) -> Result<(), String> {
    if is_so {
        Ok(())
    } else {
        Err(format!("not so: {what}"))
    }
}

fn piece(context: &ComputeContext) -> Result<(Tenant, Loaded), GpuError> {
    load(context, PIECE, Bytes::ZERO)
}

fn load(context: &ComputeContext, arena: Bytes, staging: Bytes) -> Result<(Tenant, Loaded), GpuError> {
    let image = Image {
        upload: staging,
        readback: staging,
        ..Image::arena(arena)
    };
    let tenant = context.tenant(TenantSpec {
        name: "hungry".to_owned(),
        budget: image.footprint(),
        token: FencingToken(1),
        weight: Weight::default(),
    })?;
    let loaded = tenant.load(&image)?;
    Ok((tenant, loaded))
}

/// Takes memory until the driver has none left. Prints what it got.
pub(crate) fn out_of_memory() -> Result<(), String> {
    let context = software()?;
    let (failover, clock) = failover(context.clone())?;
    let probe = daa_kernels::probe::health().map_err(|error| error.to_string())?;
    let ask = |context: &ComputeContext| probe.run(context, Duration::from_secs(60));
    ask(&context).map_err(|error| error.to_string())?;
    let mut held = Vec::new();
    let mut refusals = 0;
    let switch = loop {
        ensure(held.len() < MOST, "a limit on the address space is set")?;
        match piece(&context) {
            Ok(piece) => held.push(piece),
            Err(error) => {
                ensure(blame(&error) == Some(ErrorClass::OutOfMemory), &error.to_string())?;
                refusals += 1;
                if let Some(switch) = failover.report(&context, Err(&error)) {
                    break switch;
                }
            }
        }
    };
    ensure(
        !held.is_empty() && refusals == 3,
        "the third refusal in a row opens the breaker",
    )?;
    ensure(
        switch.to == Role::Host && !context.is_lost(),
        "the device is left, not lost",
    )?;
    let pieces = held.len();
    held.clear();
    clock.advance(Duration::from_secs(1));
    let back = failover.tick();
    ensure(
        back.is_some_and(|switch| switch.to == Role::Primary),
        "the device is back once there is room",
    )?;
    piece(&context).map_err(|error| error.to_string())?;
    println!("the driver gave {pieces} times {PIECE}, then refused {refusals} times and works again");
    Ok(())
}

/// A fourth of the images that filled pages is left when the driver has no more: those are moved together, and what
/// falls free is used. Then there is no more, also for a context that wants memory made ahead.
pub(crate) fn sparse() -> Result<(), String> {
    const SLICE: Slice = Slice { offset: 0, bytes: 8 };
    let error = |error: GpuError| error.to_string();
    let mut config = config();
    // Under the limit there is no room to spill to either.
    config.memory.max_spilled = Bytes::ZERO;
    let context = ComputeContext::open(&config).map_err(|error| error.to_string())?;
    let mut small = Vec::new();
    for value in 0..256_u64 {
        let (tenant, mut loaded) = load(&context, Bytes::mib(4), Bytes::KIB).map_err(error)?;
        let data = value.to_le_bytes();
        let work = Work {
            uploads: &[(SLICE, &data)],
            ..Work::default()
        };
        loaded.submit(work).and_then(Ticket::wait).map_err(error)?;
        small.push((value, tenant, loaded));
    }
    small.retain(|(value, ..)| value % 4 == 1);
    let mut held = Vec::new();
    let refused = loop {
        ensure(held.len() < MOST, "a limit on the address space is set")?;
        match piece(&context) {
            Ok(piece) => held.push(piece),
            Err(error) => break error,
        }
    };
    let report = context.pressure();
    ensure(
        matches!(refused, GpuError::OutOfMemory { .. }),
        &refused.to_string(),
    )?;
    ensure(
        report.compactions > 0 && report.refusals == 1,
        "one request is refused, once pages were given back",
    )?;
    let moved = context.counters().compacted_bytes;
    ensure(moved >= Bytes::mib(32).get(), "images were moved together")?;
    for (value, _, loaded) in &mut small {
        let work = Work {
            reads: &[SLICE],
            ..Work::default()
        };
        let bytes = loaded.submit(work).and_then(Ticket::wait).map_err(error)?;
        ensure(bytes == value.to_le_bytes(), "no byte is lost")?;
    }
    config.memory.tiers[4].preallocate = Bytes::gib(1);
    match ComputeContext::open(&config) {
        Err(DeviceError::Preallocation { field, source, .. }) => {
            ensure(field == "memory.tiers[xlarge].preallocate", field)?;
            ensure(source.class() == ErrorClass::OutOfMemory, &source.to_string())?;
        }
        other => return Err(format!("there is no room for it: {other:?}")),
    }
    drop(held);
    ComputeContext::open(&config).map_err(|error| error.to_string())?;
    println!("{} moved together and no byte lost", Bytes(moved));
    Ok(())
}

/// Loses its device and its driver, then gets the driver back. `manifest` is the only one that the loader may read.
pub(crate) fn driver_gone(manifest: Option<&str>) -> Result<(), String> {
    let manifest = Path::new(manifest.ok_or("driver-gone needs the path of the driver's manifest")?);
    let context = software()?;
    let (failover, clock) = failover(context.clone())?;
    let probe = daa_kernels::probe::health().map_err(|error| error.to_string())?;
    let ask = |failover: &Failover| -> Result<Role, String> {
        let acquired = failover.acquire().map_err(|error| error.to_string())?;
        let outcome = probe.run(&acquired.context, Duration::from_secs(60));
        failover.report(&acquired.context, outcome.as_ref().map(drop));
        outcome.map(|()| acquired.role).map_err(|error| error.to_string())
    };
    ensure(ask(&failover)? == Role::Primary, "the device works")?;
    let text = std::fs::read(manifest).map_err(|error| error.to_string())?;
    std::fs::remove_file(manifest).map_err(|error| error.to_string())?;
    ensure(
        ask(&failover)? == Role::Primary,
        "an open device needs no manifest",
    )?;
    context.destroy_device_for_test();
    ensure(ask(&failover)? == Role::Host, "the host steps in")?;
    clock.advance(Duration::from_secs(1));
    ensure(
        failover.tick().is_none(),
        "there is no driver to open a device with",
    )?;
    ensure(failover.counts().probes_failed == 1, "and that is a failed probe")?;
    ensure(ask(&failover)? == Role::Host, "the host goes on")?;
    std::fs::write(manifest, text).map_err(|error| error.to_string())?;
    clock.advance(Duration::from_secs(2));
    ensure(
        failover.tick().is_some_and(|switch| switch.to == Role::Primary),
        "the driver is back",
    )?;
    ensure(ask(&failover)? == Role::Primary, "and the device works")?;
    println!("the host stepped in while the driver was gone");
    Ok(())
}
