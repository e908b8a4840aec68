//! Regions: clients by the country of a database, which is replaced, broken and mended live.

use std::{
    fs,
    net::IpAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use serde_json::Value;
use splitter_tests::mmdb::put_countries;

use crate::scene::{Scene, config, scene};

/// How long a change of a file may take to be noticed on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

impl Scene {
    fn database(&self) -> PathBuf {
        let path = self.daemon.config_path();
        path.with_file_name("country.mmdb")
    }

    /// Replaces the database by one that has these clients in country XX, and all others in ZZ.
    fn in_xx(&self, clients: &[IpAddr]) {
        let one = |client: IpAddr| {
            let code = if clients.contains(&client) {
                "XX"
            } else {
                "ZZ"
            };
            (IpNet::from(client), code)
        };
        let networks: Vec<(IpNet, &str)> = self.clients().into_iter().map(one).collect();
        put_countries(&self.database(), &networks).expect("written");
    }

    /// Waits until a client's version is the one wanted.
    pub(crate) fn until_explained(&self, client: IpAddr, version: &str) {
        let begin = Instant::now();
        while self.explained(client) != version {
            assert!(begin.elapsed() < LIMIT, "{}", self.told());
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until the daemon warns, or no longer does, that a change of the database is not in force;
    /// the warning.
    fn until_warned(&self, wanted: bool) -> String {
        let begin = Instant::now();
        loop {
            let status = self.daemon.status_json().expect("a status");
            let warnings = status["warnings"].as_array().cloned().unwrap_or_default();
            let warnings = warnings.iter().filter_map(Value::as_str);
            let told = warnings.filter(|text| text.contains("what was read before stays"));
            let told: Vec<&str> = told.collect();
            if told.is_empty() != wanted {
                return told.concat();
            }
            assert!(begin.elapsed() < LIMIT, "{status:#}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn clients_of_a_country_go_where_it_says_and_the_database_is_replaced_live() {
    let scene = scene(false, "0%");
    let clients = scene.clients();
    let (one, other) = (clients[1], clients[2]);
    scene.in_xx(&[one]);
    let text = config(&scene.topology, "0%").replace(
        "[service.shop]\n",
        "[databases]\ncountry = \"country.mmdb\"\n[service.shop]\n\
         segment = [{ name = \"xx\", match = { country = [\"XX\"] }, weight = { canary = \"100%\" } }]\n",
    );
    scene.daemon.write_config(&text).expect("written");
    let told = scene.reload();
    assert!(told.contains("country XX in 1 prefix"), "{told}");
    assert_eq!(scene.explained(one), "canary");
    assert_eq!(scene.explained(other), "stable");
    scene.everyone_gets_what_explain_says();
    let whois = |client: IpAddr| {
        let path = format!("/v1/whois?address={client}");
        scene.daemon.api_get(&path).expect("told")
    };
    let told = whois(one);
    assert_eq!(told["databases"][0]["country"], "XX", "{told}");
    assert_eq!(told["services"][0]["segments"][0], "xx", "{told}");
    assert_eq!(told["services"][0]["version"], "canary", "{told}");
    let told = whois(other);
    assert_eq!(told["databases"][0]["country"], "ZZ", "{told}");
    assert_eq!(told["services"][0]["segment"], Value::Null, "{told}");
    // Another one moves in; the text of the file, changed and not reloaded, stays out of it.
    let text = text.replace("canary = \"100%\"", "canary = \"0%\"");
    scene.daemon.write_config(&text).expect("written");
    scene.in_xx(&[one, other]);
    scene.until_explained(other, "canary");
    assert_eq!(scene.explained(one), "canary");
    scene.everyone_gets_what_explain_says();
    scene.reload();
    assert_eq!(scene.explained(one), "stable");
    let text = text.replace("canary = \"0%\" } }", "canary = \"100%\" } }");
    scene.daemon.write_config(&text).expect("written");
    scene.reload();
    // What is broken, or gone, is told, and the old one stays.
    fs::write(scene.database(), "<html>not found</html>").expect("written");
    let warned = scene.until_warned(true);
    assert!(warned.contains("it is no whole .mmdb file"), "{warned}");
    fs::remove_file(scene.database()).expect("removed");
    let begin = Instant::now();
    while !scene.until_warned(true).contains("No such file") {
        assert!(begin.elapsed() < LIMIT, "{}", scene.told());
        thread::sleep(Duration::from_millis(200));
    }
    for client in [one, other] {
        assert_eq!(scene.explained(client), "canary", "the old one stays");
    }
    let told = whois(one);
    let error = told["databases"][0]["error"].to_string();
    assert!(error.contains("No such file"), "{told}");
    assert_eq!(told["services"][0]["segment"], "xx", "{told}");
    let events = scene.daemon.api_get("/v1/events").expect("events");
    let kinds = |kind: &str| {
        let all = events["events"].as_array().expect("a list");
        let of = |event: &&Value| {
            event["kind"] == kind && event["by"].to_string().contains("the change of ")
        };
        all.iter().filter(of).count()
    };
    let counts = (kinds("reload"), kinds("reload_refused"));
    assert!(counts.0 >= 1 && counts.1 >= 2, "{events:#}");
    scene.in_xx(&[one]);
    scene.until_explained(other, "stable");
    scene.until_warned(false);
    scene.everyone_gets_what_explain_says();
}
