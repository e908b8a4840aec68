//! Owns the grammar of `[metrics]`.
//!
//! Invariant: what is listened on is reached from this host alone.

use std::net::SocketAddr;

use super::draft::Draft;
use super::reader::Section;
use crate::model::Metrics;

/// Reads `[metrics]`.
pub(super) fn metrics(section: &Section<'_, '_, '_>, draft: &mut Draft) {
    section.only(&["listen"]);
    let mut metrics = Metrics::default();
    if let Some(text) = section.text("listen") {
        match address(text.get_ref()) {
            Ok(listen) => metrics.listen = Some(listen),
            Err(why) => section.error(&text.span(), format_args!("`listen`: {why}")),
        }
    } else if section.get("listen").is_none() {
        let message = "no address: write `listen = \"127.0.0.1:9405\"`, or leave [metrics] away";
        section.error(&section.span, message);
    }
    let at = section.reader.place(&section.span);
    match &draft.metrics {
        Some((_, other)) => {
            let message = format!("metrics stand in {other} already; keep them in one place");
            section.reader.error(&section.span, message);
        }
        None => draft.metrics = Some((metrics, at)),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        format!("\"{text}\" is no address with a port: write \"127.0.0.1:9405\" or \"[::1]:9405\"")
    })?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{address} is reached from other hosts, which takes TLS and a token, and neither exists \
             yet: write \"127.0.0.1:9405\", and let an agent of this host or a proxy with TLS fetch \
             it there"
        ));
    }
    if address.port() == 0 {
        return Err("port 0 is none: write \"127.0.0.1:9405\"".to_owned());
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_str;

    #[test]
    fn only_this_host_is_listened_to() {
        for (text, says) in [
            ("0.0.0.0:9405", "TLS and a token"),
            ("[2001:db8::1]:9405", "TLS and a token"),
            ("9405", "is no address with a port"),
            ("localhost:9405", "is no address with a port"),
            ("127.0.0.1:0", "port 0 is none"),
        ] {
            let error = address(text).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
        for text in ["127.0.0.1:9405", "127.8.9.1:1", "[::1]:9405"] {
            assert_eq!(
                address(text).map(|address| address.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn the_file_says_where_and_nothing_listens_unless_it_does() {
        let rest = "[[interface]]\nname = \"eth0\"\n[service.shop]\nvips = [\"203.0.113.10:80/tcp\"]\n\
                    version.stable = { baseline = true, backends = [\"10.0.0.1:80\"] }\n";
        let read = |metrics: &str| parse_str("a.toml", &format!("{metrics}{rest}"));
        assert_eq!(read("").expect("valid").metrics.listen, None);
        let config = read("[metrics]\nlisten = \"[::1]:9405\"\n").expect("valid");
        assert_eq!(config.metrics.listen, "[::1]:9405".parse().ok());
        let errors = read("[metrics]\nlisten = \"10.0.0.1:9405\"\n").expect_err("beyond this host");
        assert!(
            errors
                .to_string()
                .starts_with("a.toml:2:10: metrics: `listen`: 10.0.0.1:9405"),
            "{errors}"
        );
        let errors = read("[metrics]\n").expect_err("no address").to_string();
        assert!(
            errors.contains("write `listen = \"127.0.0.1:9405\"`"),
            "{errors}"
        );
    }
}
