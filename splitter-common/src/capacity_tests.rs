use super::*;

#[test]
fn lines_tell_how_many_addresses_there_is_room_for() {
    for members in (1..10_000).chain([COHORT_MEMBERS, 1_000_000, 4_194_303, 4_194_304]) {
        assert_eq!(members_of_lines(member_lines(members)), members);
    }
}

/// 1,000 services x 2 versions x 10 backends must load within 256 MiB on two CPUs.
#[test]
fn the_defaults_fit_256_mib_on_two_cpus() {
    let sizes = Sizes {
        established: ESTABLISHED_FLOWS,
        pending: PENDING_FLOWS,
        fragments: FRAGMENTED_DATAGRAMS,
        services: MAX_SERVICES,
        frontends: MAX_FRONTENDS,
        backends: MAX_BACKENDS,
        pages: TABLE_PAGES,
        limited_clients: LIMITED_CLIENTS,
        known_clients: KNOWN_CLIENTS,
        prefixes: MAX_PREFIXES,
        members: COHORT_MEMBERS,
        ledgers: LEDGERS,
        judged_clients: JUDGED_CLIENTS,
    };
    let shares = shares(&sizes, 0, 2);
    let bytes: u64 = shares.iter().map(|share| share.bytes).sum();
    assert!(bytes < 256 << 20, "{bytes}");
    assert!(bytes > 64 << 20, "the sum has lost a table: {bytes}");
}
