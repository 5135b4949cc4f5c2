use super::*;

fn seen(name: &str, class: DeviceClass) -> Seen {
    let info = DeviceInfo {
        name: name.to_owned(),
        class,
        backend: BackendKind::Vulkan,
        ..system::host_info()
    };
    Seen {
        info,
        unfit: None,
        driver_memory: Err(Unavailable::NoExtension),
    }
}

fn taken(choice: DeviceChoice, found: Vec<Seen>) -> Option<String> {
    let reports = judge(choice, found);
    assert!(
        reports
            .iter()
            .all(|report| !report.reason.is_empty() && !report.reason.contains('\n'))
    );
    let mut chosen = reports.into_iter().filter(|report| report.chosen);
    let first = chosen.next().map(|report| report.info.name);
    assert!(chosen.next().is_none(), "at most one is chosen");
    first
}

#[test]
fn auto_prefers_discrete_over_integrated_over_virtual_over_the_host() {
    use DeviceClass as D;
    let all = [
        ("soft", D::Software),
        ("other", D::Other),
        ("virt", D::Virtual),
        ("int", D::Integrated),
        ("disc", D::Discrete),
    ];
    for keep in (0..=all.len()).rev() {
        let found = all[..keep]
            .iter()
            .map(|(name, class)| seen(name, *class))
            .collect();
        let want = match keep {
            5 => "disc",
            4 => "int",
            3 => "virt",
            _ => "",
        };
        let got = taken(DeviceChoice::Auto, found).expect("the host is always there");
        if want.is_empty() {
            assert_eq!(got, system::host_info().name);
        } else {
            assert_eq!(got, want);
        }
    }
}

#[test]
fn software_is_taken_only_by_name_and_never_as_a_gpu() {
    let soft = || vec![seen("soft", DeviceClass::Software)];
    assert_eq!(taken(DeviceChoice::Software, soft()).as_deref(), Some("soft"));
    assert_eq!(taken(DeviceChoice::Gpu, soft()), None);
    assert_ne!(taken(DeviceChoice::Auto, soft()).as_deref(), Some("soft"));
    assert_eq!(taken(DeviceChoice::Software, Vec::new()), None);
}

#[test]
fn an_unfit_adapter_is_passed_over_with_its_reason() {
    let mut broken = seen("broken", DeviceClass::Discrete);
    broken.unfit = Some("it cannot run compute shaders".to_owned());
    let reports = judge(
        DeviceChoice::Gpu,
        vec![broken, seen("fine", DeviceClass::Integrated)],
    );
    assert_eq!(reports[0].reason, "it cannot run compute shaders");
    assert!(reports[1].chosen && !reports[0].chosen);
}

#[test]
fn choices_survive_their_text() {
    for choice in [
        DeviceChoice::Auto,
        DeviceChoice::Cpu,
        DeviceChoice::Software,
        DeviceChoice::Gpu,
    ] {
        assert_eq!(choice.to_string().parse(), Ok(choice));
    }
    let error = "tpu".parse::<DeviceChoice>().expect_err("unknown");
    assert!(error.to_string().contains("auto, cpu, software, gpu"), "{error}");
}

#[test]
fn a_survey_always_ends_with_the_host() {
    let reports = survey(DeviceChoice::Cpu);
    let host = reports.last().expect("the host is always there");
    assert!(host.chosen);
    assert_eq!(host.info.class, DeviceClass::Host);
}
