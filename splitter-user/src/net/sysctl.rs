//! Owns the checks of this host's sysctls: what would keep it from forwarding.
//!
//! Sources: Documentation/networking/ip-sysctl.rst of the kernel.

use std::{fs, path::Path};

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Packets will be lost.
    Fatal,
    /// Packets may be lost.
    Warning,
}

/// A sysctl that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// What it does.
    pub sentence: String,
    /// The command that mends it.
    pub fix: String,
}

/// The problems of `interfaces` for the address families in use, in the calling thread's network
/// namespace.
pub fn problems(interfaces: &[String], v4: bool, v6: bool) -> Vec<Problem> {
    problems_in(Path::new("/proc/sys/net"), interfaces, v4, v6)
}

fn problems_in(root: &Path, interfaces: &[String], v4: bool, v6: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (wanted, family, all) in [
        (v4, "ipv4", "ipv4/ip_forward"),
        (v6, "ipv6", "ipv6/conf/all/forwarding"),
    ] {
        if !wanted {
            continue;
        }
        let off = |sentence: String, key: &str| Problem {
            severity: Severity::Fatal,
            sentence,
            fix: format!("sysctl -w {}=1", key_of(key)),
        };
        // IPv4 forwards by the interface's own switch, which "all" sets when it is written; IPv6
        // wants "all" itself, and bpf_fib_lookup the interface's own in both families.
        let own = |name: &String| format!("{family}/conf/{name}/forwarding");
        let is_off = |name: &&String| read(root, &own(name)) == Some(0);
        if read(root, all) != Some(1) && (family == "ipv6" || interfaces.iter().any(|n| is_off(&n)))
        {
            problems.push(off(format!("{family} forwarding is off"), all));
        } else {
            problems.extend(
                interfaces
                    .iter()
                    .filter(is_off)
                    .map(|name| off(format!("{family} forwarding is off on {name}"), &own(name))),
            );
        }
    }
    if v4 {
        problems.extend(
            interfaces
                .iter()
                .filter_map(|name| strict_rp_filter(root, name)),
        );
        problems.extend(redirects(root, interfaces));
    }
    problems
}

/// The larger of "all" and the interface's own value counts; 1 is strict (RFC 3704).
fn strict_rp_filter(root: &Path, name: &str) -> Option<Problem> {
    let own = read(root, &format!("ipv4/conf/{name}/rp_filter"))?;
    let all = read(root, "ipv4/conf/all/rp_filter").unwrap_or(0);
    let place = if all == 1 { "all" } else { name };
    (own.max(all) == 1).then(|| Problem {
        severity: Severity::Warning,
        sentence: format!(
            "{name} filters strictly by reverse path: packets that splitter hands to this host's \
             stack may be dropped"
        ),
        fix: format!(
            "sysctl -w {}=2",
            key_of(&format!("ipv4/conf/{place}/rp_filter"))
        ),
    })
}

/// With one interface for both sides this host would tell backends to answer past it.
fn redirects(root: &Path, interfaces: &[String]) -> Option<Problem> {
    let [name] = interfaces else { return None };
    let sends = |place: &str| {
        read(root, &format!("ipv4/conf/{place}/send_redirects")).is_some_and(|value| value != 0)
    };
    (sends("all") || sends(name)).then(|| Problem {
        severity: Severity::Warning,
        sentence: format!(
            "{name} is the only interface and sends ICMP redirects: backends would answer \
             clients directly, with an address that the clients do not know"
        ),
        fix: format!(
            "sysctl -w net.ipv4.conf.all.send_redirects=0 {}=0",
            key_of(&format!("ipv4/conf/{name}/send_redirects"))
        ),
    })
}

/// The key of a file below /proc/sys/net as sysctl(8) takes it: with dots, unless a name in it
/// has one itself.
fn key_of(path: &str) -> String {
    if path.contains('.') {
        format!("net/{path}")
    } else {
        format!("net.{}", path.replace('/', "."))
    }
}

fn read(root: &Path, name: &str) -> Option<u32> {
    fs::read_to_string(root.join(name))
        .ok()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(values: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (name, value) in values {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, format!("{value}\n")).expect("written");
        }
        root
    }

    fn fixes(values: &[(&str, &str)], interfaces: &[&str], v6: bool) -> Vec<String> {
        let root = host(values);
        let interfaces: Vec<String> = interfaces.iter().map(|name| (*name).to_owned()).collect();
        let problems = problems_in(root.path(), &interfaces, true, v6);
        problems.into_iter().map(|problem| problem.fix).collect()
    }

    #[test]
    fn forwarding_that_is_off_is_named() {
        let values = [
            ("ipv4/ip_forward", "0"),
            ("ipv4/conf/a/forwarding", "0"),
            ("ipv6/conf/all/forwarding", "0"),
            ("ipv6/conf/a/forwarding", "0"),
        ];
        let both = [
            "sysctl -w net.ipv4.ip_forward=1",
            "sysctl -w net.ipv6.conf.all.forwarding=1",
        ];
        assert_eq!(fixes(&values, &["a", "b"], true), both);
        assert_eq!(fixes(&values, &["a", "b"], false), both[..1]);
    }

    #[test]
    fn forwarding_that_is_off_on_one_interface_is_named() {
        let values = [
            ("ipv4/ip_forward", "1"),
            ("ipv4/conf/a/forwarding", "0"),
            ("ipv4/conf/b/forwarding", "1"),
            ("ipv6/conf/all/forwarding", "0"),
            ("ipv6/conf/a/forwarding", "1"),
            ("ipv6/conf/b/forwarding", "1"),
        ];
        assert_eq!(
            fixes(&values, &["a", "b"], true),
            [
                "sysctl -w net.ipv4.conf.a.forwarding=1",
                "sysctl -w net.ipv6.conf.all.forwarding=1"
            ]
        );
        assert!(fixes(&values, &["b"], false).is_empty());
    }

    #[test]
    fn strict_reverse_path_filters_are_named_where_they_stand() {
        let on = ("ipv4/ip_forward", "1");
        let own = [
            on,
            ("ipv4/conf/a/rp_filter", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
        ];
        assert_eq!(
            fixes(&own, &["a", "b"], false),
            ["sysctl -w net.ipv4.conf.a.rp_filter=2"]
        );
        let dotted = [on, ("ipv4/conf/a.100/rp_filter", "1")];
        assert_eq!(
            fixes(&dotted, &["a.100", "b"], false),
            ["sysctl -w net/ipv4/conf/a.100/rp_filter=2"]
        );
        let all = [
            on,
            ("ipv4/conf/a/rp_filter", "0"),
            ("ipv4/conf/all/rp_filter", "1"),
        ];
        assert_eq!(
            fixes(&all, &["a", "b"], false),
            ["sysctl -w net.ipv4.conf.all.rp_filter=2"]
        );
        let loose = [
            on,
            ("ipv4/conf/a/rp_filter", "1"),
            ("ipv4/conf/all/rp_filter", "2"),
        ];
        assert!(fixes(&loose, &["a", "b"], false).is_empty());
    }

    #[test]
    fn redirects_matter_with_one_interface_only() {
        let values = [
            ("ipv4/ip_forward", "1"),
            ("ipv4/conf/a/send_redirects", "1"),
        ];
        assert_eq!(fixes(&values, &["a"], false).len(), 1);
        assert!(fixes(&values, &["a", "b"], false).is_empty());
    }
}
