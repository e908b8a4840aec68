//! Owns what `splitter reload` prints.

use super::{clients, show};
use crate::api::types::{Difference, Reload, ServiceChange};

/// The answer to `reload`.
pub(super) fn reload(reload: &Reload) -> String {
    let mut out = if reload.dry_run {
        format!("{}: dry run, nothing was changed\n", reload.config_path)
    } else {
        format!(
            "{}: in force, generation {}\n",
            reload.config_path, reload.generation
        )
    };
    let of_host = [
        ("interfaces", &reload.interfaces),
        ("metrics", &reload.metrics),
        ("devices", &reload.devices),
    ];
    if reload.services.is_empty() && of_host.iter().all(|(_, differ)| differ.is_empty()) {
        out += "  the file asks for nothing else than what is in force\n";
    }
    for change in &reload.services {
        out += &service(change, reload.dry_run);
    }
    for (what, differ) in of_host {
        if !differ.is_empty() {
            out += &format!("{what}\n");
            out += &differ.iter().map(line).collect::<String>();
        }
    }
    for sentence in reload.dropped.iter().chain(&reload.kept) {
        out += &format!("  ! {sentence}\n");
    }
    out
}

fn service(change: &ServiceChange, dry_run: bool) -> String {
    let all = |one: fn(&Difference) -> bool| change.differences.iter().all(one);
    let name = &change.service;
    if all(|each| each.after.is_none()) {
        return format!("service {name} goes, and its flows with it\n");
    }
    if all(|each| each.before.is_none()) {
        let lines: String = change.differences.iter().map(line).collect();
        return format!("service {name} is new\n{lines}");
    }
    let lines: String = change.differences.iter().map(line).collect();
    let seen = change.seen.as_ref();
    format!(
        "service {name}\n{lines}{}{}",
        show::moves(&change.moves, "clients", dry_run),
        seen.map_or_else(String::new, clients::moves)
    )
}

fn line(difference: &Difference) -> String {
    let Difference {
        what,
        before,
        after,
    } = difference;
    let said = |value: &str| match value {
        "" => String::new(),
        value => format!(": {value}"),
    };
    let or_plain = |value: &str| match value {
        "" => "plain".to_owned(),
        value => value.to_owned(),
    };
    match (before, after) {
        (Some(before), Some(after)) => {
            format!("  ~ {what}: {} -> {}\n", or_plain(before), or_plain(after))
        }
        (None, Some(after)) => format!("  + {what}{}\n", said(after)),
        (Some(before), None) => format!("  - {what}{}\n", said(before)),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::Move;

    fn difference(what: &str, before: Option<&str>, after: Option<&str>) -> Difference {
        Difference {
            what: what.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        }
    }

    #[test]
    fn a_reload_is_told_line_by_line() {
        let shop = ServiceChange {
            service: "shop".to_owned(),
            differences: vec![
                difference("VIP 203.0.113.11:80/tcp", None, Some("")),
                difference("weight of canary", Some("10%"), Some("30%")),
                difference("version canary", Some(""), Some("baseline")),
                difference("backend 10.0.0.2:80 of canary", Some("weight 1"), None),
            ],
            moves: vec![Move {
                from: "stable".to_owned(),
                to: "canary".to_owned(),
                percent_of_clients: 20.0,
            }],
            seen: None,
        };
        let gone = ServiceChange {
            service: "old".to_owned(),
            differences: vec![difference("release", Some("1"), None)],
            moves: Vec::new(),
            seen: None,
        };
        let mut answer = Reload {
            config_path: "/etc/s.toml".to_owned(),
            dry_run: true,
            generation: 7,
            services: vec![shop, gone],
            interfaces: vec![difference("eth1", None, Some("auto"))],
            devices: Vec::new(),
            metrics: vec![difference("listen", None, Some("127.0.0.1:9405"))],
            kept: vec!["kept".to_owned()],
            dropped: vec!["dropped".to_owned()],
        };
        assert_eq!(
            reload(&answer),
            "/etc/s.toml: dry run, nothing was changed\n\
             service shop\n  \
             + VIP 203.0.113.11:80/tcp\n  \
             ~ weight of canary: 10% -> 30%\n  \
             ~ version canary: plain -> baseline\n  \
             - backend 10.0.0.2:80 of canary: weight 1\n  \
             20% of all clients would move from stable to canary\n\
             service old goes, and its flows with it\n\
             interfaces\n  \
             + eth1: auto\n\
             metrics\n  \
             + listen: 127.0.0.1:9405\n  \
             ! dropped\n  \
             ! kept\n"
        );
        answer.dry_run = false;
        answer.services.clear();
        answer.interfaces.clear();
        answer.metrics.clear();
        assert!(
            reload(&answer).starts_with(
                "/etc/s.toml: in force, generation 7\n  the file asks for nothing else"
            )
        );
    }
}
