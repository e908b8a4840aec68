//! Limits: tables as small as what is configured needs, and what the daemon says to more.

use crate::scene::{Scene, config, scene};

/// A scene whose tables hold what is configured and no more.
fn tight() -> (Scene, String) {
    let mut scene = scene(false, "50%");
    let text = config(&scene.topology, "50%");
    let backends = 2 * scene.topology.backends.len();
    let tight = format!(
        "pending = 16384\nfragments = 1024\nservices = 1\nvips = 4\nbackends = {backends}\n\
         table_pages = 32\nprefixes = 1\nlimited_clients = 1024\n"
    );
    let text = text.replace("pending = 16384\n", &tight);
    scene.daemon.stop().expect("stopped");
    scene.daemon.write_config(&text).expect("written");
    let refused = scene.daemon.serve().expect_err("tables keep their size");
    assert!(
        format!("{refused:#}").contains("the daemon ended"),
        "{refused:#}"
    );
    let told = scene.daemon.log();
    assert!(
        told.contains("services = 1 instead of 1024, vips = 4 instead of 4096")
            && told.contains("splitter detach"),
        "{told}"
    );
    let pins = scene.daemon.pin_dir().display().to_string();
    let detached = scene.daemon.cli_offline(&["detach", "--pin-dir", &pins]);
    assert_eq!(detached.expect("ran").code, Some(0));
    scene.daemon.serve().expect("started anew");
    (scene, text)
}

#[test]
fn a_host_serves_with_tables_as_small_as_its_configuration() {
    let (scene, text) = tight();
    scene.everyone_gets_what_explain_says();
    for weight in ["canary=10%", "canary=90%"] {
        scene
            .daemon
            .cli_ok(&["weight", "set", "shop", weight])
            .expect("set");
        scene.everyone_gets_what_explain_says();
    }
    let add = ["backend", "add", "shop", "canary", "10.0.99.1:8080"];
    let refused = scene.daemon.cli(&add).expect("ran");
    assert!(
        refused.code == Some(2) && refused.stderr.contains("[limits] backends ="),
        "{refused:?}"
    );
    let larger = text.replace("vips = 4\n", "vips = 5\n");
    scene.daemon.write_config(&larger).expect("written");
    let refused = scene.daemon.cli(&["reload"]).expect("ran");
    assert!(
        refused.code == Some(5) && refused.stderr.contains("vips = 5 instead of 4"),
        "{refused:?}"
    );
    scene.everyone_gets_what_explain_says();
}
