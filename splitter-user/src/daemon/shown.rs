//! Owns what is told of a service wholly: `service show` and `weight get`.

use std::time::Duration;

use super::{core::Core, explain, segments, status, warnings::warnings};
use crate::{
    api::{
        Refusal,
        types::{
            CheckSettings, Cut, HealthSettings, HttpSettings, PassiveSettings, ServiceSettings,
            ServiceShown, SetBy, WeightInForce, Weights,
        },
    },
    model::{self, HttpMethod, HttpQuestion, Question, Service, Version},
    state::OverlayRecord,
};

/// One service wholly.
pub(super) fn service(core: &Core, name: &str) -> Result<ServiceShown, Refusal> {
    let service = core.service(name)?;
    let about = format!("service {name}: ");
    Ok(ServiceShown {
        service: status::service_status(core, service)?,
        settings: settings(service),
        cuts: cuts(core, service)?,
        warnings: warnings(core)
            .into_iter()
            .filter(|warning| warning.starts_with(&about))
            .collect(),
    })
}

/// The weights in force of a service, or of every one.
pub(super) fn weights(core: &Core, name: Option<&str>) -> Result<Vec<Weights>, Refusal> {
    match name {
        Some(name) => Ok(vec![weights_of(core, core.service(name)?)?]),
        None => {
            let services = core.config.services();
            services.map(|service| weights_of(core, service)).collect()
        }
    }
}

fn weights_of(core: &Core, service: &Service) -> Result<Weights, Refusal> {
    let given = core.state.numbers.service(&service.name);
    let given = given.map_err(Refusal::internal)?;
    let since = core.state.since.get(&service.name);
    let file = core.file.service(&service.name);
    let overlay = core.state.overlays.get(&service.name);
    let versions = service.versions.iter();
    Ok(Weights {
        service: service.name.clone(),
        generation: u64::from(given.generation),
        since: since.map(|since| since.at.clone()),
        key: service.key.to_string(),
        versions: versions
            .map(|version| in_force(service, file, overlay, version))
            .collect(),
        cuts: cuts(core, service)?,
        segments: segments::weights(core, service)?,
    })
}

/// A version's weight and where it comes from: what is in force, the file's, and what was set at run
/// time. The baseline's is what the others leave, whoever set theirs.
pub(super) fn in_force(
    service: &Service,
    file: Option<&Service>,
    overlay: Option<&OverlayRecord>,
    version: &Version,
) -> WeightInForce {
    let weight = |service: &Service| service.weights().get(&version.name).copied();
    let overlay = overlay.filter(|overlay| overlay.weights_ppm.contains_key(&version.name));
    let from = match (version.baseline, overlay) {
        (true, _) => "rest",
        (false, Some(_)) => "overlay",
        (false, None) => "file",
    };
    WeightInForce {
        version: version.name.clone(),
        baseline: version.baseline,
        weight: weight(service).unwrap_or_default().to_string(),
        from: from.to_owned(),
        file_weight: file.and_then(weight).unwrap_or_default().to_string(),
        set: overlay.map(|overlay| SetBy {
            by: overlay.by.clone(),
            at: overlay.at.clone(),
            reason: overlay.reason.clone(),
        }),
    }
}

/// The cut points of the row that is in force in the kernel.
fn cuts(core: &Core, service: &Service) -> Result<Vec<Cut>, Refusal> {
    let given = core.state.numbers.service(&service.name);
    let given = given.map_err(Refusal::internal)?;
    let row = core.plane.maps().service_in_force(u32::from(given.number));
    Ok(explain::cuts(&row.cuts[0], given))
}

fn settings(service: &Service) -> ServiceSettings {
    ServiceSettings {
        salt_group: service.salt_group.clone(),
        protocol: service.http1.then(|| "http1".to_owned()),
        turn_slo: service
            .turn_slo
            .map(|slo| humantime::format_duration(slo).to_string()),
        slice: service
            .slice
            .map(|slice| humantime::format_duration(slice).to_string()),
        traits: service
            .asks_for_traits()
            .then(|| service.traits.to_string()),
        direct: service.direct.iter().map(ToString::to_string).collect(),
        failsafe_max_weight: service.fail_safe_max.to_string(),
        health: service.health.as_ref().map(health),
    }
}

fn health(settings: &model::HealthSettings) -> HealthSettings {
    HealthSettings {
        check: settings.check.as_ref().map(check),
        passive: settings.passive.as_ref().map(passive),
        max_unhealthy: settings.max_unhealthy.to_string(),
        slow_start_s: seconds(settings.slow_start),
    }
}

fn check(check: &model::Check) -> CheckSettings {
    let (word, http) = match &check.question {
        Question::Tcp => ("tcp", None),
        Question::Http(question) => ("http", Some(http(question))),
    };
    CheckSettings {
        check: word.to_owned(),
        http,
        port: check.port,
        interval_s: seconds(check.interval),
        timeout_s: seconds(check.timeout),
        rise: check.rise,
        fall: check.fall,
    }
}

fn http(question: &HttpQuestion) -> HttpSettings {
    let method = match question.method {
        HttpMethod::Get => "GET",
        HttpMethod::Head => "HEAD",
    };
    let range = |(first, last): &(u16, u16)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    HttpSettings {
        method: method.to_owned(),
        path: question.path.clone(),
        host: question.host.clone(),
        expect_status: question.expect_status.iter().map(range).collect(),
        expect_body: question.expect_body.clone(),
    }
}

fn passive(passive: &model::Passive) -> PassiveSettings {
    PassiveSettings {
        window_s: seconds(passive.window),
        min_handshakes: passive.min_handshakes,
        unanswered: passive.unanswered.to_string(),
        resets: passive.resets.to_string(),
        eject_for_s: seconds(passive.eject_for),
        eject_max_s: seconds(passive.eject_max),
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_str;

    #[test]
    fn what_is_configured_is_told_as_the_file_says_it() {
        let file = "[[interface]]\nname = \"eth0\"\n[service.shop]\n\
                    vips = [\"203.0.113.10:80/tcp\"]\ndirect = [\"10.9.0.0/16\"]\n\
                    salt_group = \"all\"\nfailsafe_max_weight = \"40%\"\n\
                    version.stable = { baseline = true, backends = [\"10.0.0.1:80\"] }\n\
                    [service.shop.health]\ncheck = \"http\"\nmethod = \"HEAD\"\n\
                    expect_status = [204, \"300-399\"]\nhost = \"shop.example\"\nport = 81\n\
                    interval = \"500ms\"\nslow_start = \"1m\"\npassive = { window = \"20s\" }\n";
        let config = parse_str("splitter.toml", file).expect("valid");
        let told = settings(&config.services[0]);
        assert_eq!(told.direct, ["10.9.0.0/16"]);
        assert_eq!(told.salt_group.as_deref(), Some("all"));
        assert_eq!(told.failsafe_max_weight, "40%");
        let health = told.health.expect("health");
        assert_eq!(
            (health.max_unhealthy.as_str(), health.slow_start_s),
            ("50%", 60.0)
        );
        let check = health.check.expect("a check");
        assert_eq!((check.check.as_str(), check.port), ("http", Some(81)));
        assert_eq!((check.interval_s, check.timeout_s), (0.5, 0.5));
        assert_eq!((check.rise, check.fall), (2, 3));
        let http = check.http.expect("http");
        assert_eq!((http.method.as_str(), http.path.as_str()), ("HEAD", "/"));
        assert_eq!(http.host.as_deref(), Some("shop.example"));
        assert_eq!(http.expect_status, ["204", "300-399"]);
        let passive = health.passive.expect("passive");
        assert_eq!((passive.window_s, passive.min_handshakes), (20.0, 20));
        assert_eq!(
            (passive.unanswered.as_str(), passive.resets.as_str()),
            ("95%", "50%")
        );
        assert_eq!((passive.eject_for_s, passive.eject_max_s), (30.0, 600.0));
    }
}
