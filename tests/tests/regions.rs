//! A real database of countries: what a country is expanded to is what look-ups say, for random addresses.
//! `cargo xtask test` fetches it; it is in the public domain.

use std::{
    collections::BTreeMap,
    env, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use ipnet::IpNet;
use splitter_user::{
    config::{Database, load},
    model::compile,
};

/// Addresses of each family.
const ADDRESSES: usize = 10_000;

fn countries() -> PathBuf {
    let named = env::var_os("SPLITTER_COUNTRIES").map(PathBuf::from);
    named
        .filter(|path| path.exists())
        .expect("SPLITTER_COUNTRIES names no file: run `cargo xtask test --filter a_real_database`")
}

/// Whether sorted prefixes of which none lies in another have an address.
fn has(prefixes: &[IpNet], address: IpAddr) -> bool {
    let behind = prefixes.partition_point(|prefix| prefix.network() <= address);
    let before = behind.checked_sub(1).map(|at| prefixes[at]);
    before.is_some_and(|prefix| prefix.contains(&address))
}

#[test]
fn a_country_of_a_real_database_has_whom_it_says() {
    let path = countries();
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("splitter.toml");
    let text = format!(
        "databases = {{ country = {path:?} }}\n[[interface]]\nname = \"eth0\"\n[service.shop]\n\
         vips = [\"203.0.113.10:443/tcp\"]\n\
         version.stable = {{ baseline = true, backends = [\"10.0.1.11:8443\"] }}\n\
         version.canary = {{ weight = \"5%\", backends = [\"10.0.2.11:8443\"] }}\n\
         segment = [\n\
         {{ name = \"de\", match = {{ country = [\"DE\"] }}, weight = {{ canary = \"100%\" }} }},\n\
         {{ name = \"us\", match = {{ country = [\"US\"] }}, weight = {{ canary = \"100%\" }} }},\n]\n"
    );
    fs::write(&config, &text).expect("written");
    let config = load(&config).expect("a good file");
    let compiled = compile(&config.services[0].segments).expect("fits");
    let lists: BTreeMap<&str, &[IpNet]> = ["DE", "US"]
        .into_iter()
        .zip(compiled.asked.iter().map(|set| set.prefixes()))
        .collect();
    for (code, prefixes) in &lists {
        let of_v4 = prefixes.iter().filter(|prefix| prefix.addr().is_ipv4());
        let addresses: u64 = of_v4.map(|v4| 1 << (32 - v4.prefix_len())).sum();
        // Germany has some 120 million addresses of IPv4, the United States some 1,600 million.
        let plausible = match *code {
            "DE" => 60_000_000..250_000_000,
            _ => 800_000_000..2_500_000_000,
        };
        assert!(plausible.contains(&addresses), "{code}: {addresses}");
        let counts = [prefixes.len(), IpNet::aggregate(&prefixes.to_vec()).len()];
        assert!((1_000..200_000).contains(&counts[0]), "{code}: {counts:?}");
        assert_eq!(counts[0], counts[1], "merged as far as can be");
    }
    let database = fs::read(&path).expect("read");
    let database = Database::new(database).expect("a database");
    let mut random = fastrand::Rng::with_seed(5);
    let mut met = BTreeMap::<&str, [usize; 2]>::new();
    for nth in 0..2 * ADDRESSES {
        let v6 = nth % 2 == 1;
        let address = if v6 {
            // Of those that are given out: 2000::/3 (RFC 4291, section 2.4), most of it near its begin.
            let high = 0x2000_0000 | random.u32(..) & 0x0fff_ffff;
            let within = u128::from(high) << 96 | random.u128(..) >> 32;
            // Every second one near a prefix that is in a list.
            let near = &lists["DE"];
            let start = near.iter().position(|prefix| prefix.addr().is_ipv6());
            let start = start.expect("IPv6 prefixes of DE");
            match (near[random.usize(start..near.len())], random.bool()) {
                (IpNet::V6(v6), true) => {
                    let size = v6.hostmask().to_bits();
                    let low = random.u128(..) & (size << 1 | 1);
                    Ipv6Addr::from_bits(v6.network().to_bits() ^ low)
                }
                _ => Ipv6Addr::from_bits(within),
            }
            .into()
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(random.u32(..)))
        };
        let told = database.look_up(address).expect("whole");
        let told = told.and_then(|(_, record)| record.country);
        for (code, prefixes) in &lists {
            let listed = has(prefixes, address);
            assert_eq!(
                listed,
                told.as_deref() == Some(code),
                "{address} is in {told:?}"
            );
            met.entry(code).or_default()[usize::from(v6)] += usize::from(listed);
        }
    }
    let [v4, v6] = met["DE"];
    assert!(
        v4 > 100 && v6 > 1_000,
        "addresses of both families were met: {met:?}"
    );
}
