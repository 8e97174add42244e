//! Pools: leases, withdrawals, and foreign addresses.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::super::pool::tests::settings;
use super::*;

fn pools(networks: &[&str]) -> Pools {
    Pools::new(networks.iter().map(|it| Pool::new(settings(it)).unwrap()).collect())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_that_was_just_returned_is_the_last_to_be_lent_again() {
    let pools = pools(&["10.9.0.0/30"]);
    let one = pools.lease(Family::V4).unwrap();
    assert_eq!(one.address(), ip("10.9.0.1"));
    drop(one);
    let two = pools.lease(Family::V4).unwrap();
    assert_eq!(two.address(), ip("10.9.0.2"));
    assert_eq!(pools.lease(Family::V4).unwrap().address(), ip("10.9.0.1"));
}

#[test]
fn an_address_that_an_earlier_start_left_is_lent_until_it_is_returned() {
    let pools = pools(&["10.9.0.0/30"]);
    let left = pools.lease_again(ip("10.9.0.1")).unwrap();
    assert!(pools.is_lent(ip("10.9.0.1")) && pools.lease_again(ip("10.9.0.1")).is_none());
    assert_eq!(pools.lease(Family::V4).unwrap().address(), ip("10.9.0.2"));
    pools.mark_foreign(ip("10.9.0.2"));
    assert!(pools.lease_again(ip("10.9.0.2")).is_none());
    assert!(pools.lease_again(ip("10.1.1.1")).is_none());
    drop(left);
    assert!(!pools.is_lent(ip("10.9.0.1")));
    assert_eq!(pools.lease(Family::V4).unwrap().address(), ip("10.9.0.1"));
}

#[test]
fn none_free_is_said_with_how_many_there_are() {
    let pools = pools(&["10.9.0.0/30"]);
    let _held = [pools.lease(Family::V4).unwrap(), pools.lease(Family::V4).unwrap()];
    let none = pools.lease(Family::V4).unwrap_err();
    assert_eq!(none.to_string(), "none of the 2 IPv4 addresses in network.pools is free");
    assert_eq!(pools.lease(Family::V6).unwrap_err().total, 0);
}

#[test]
fn ipv6_is_meant_only_where_there_is_nothing_else() {
    assert_eq!(pools(&["10.9.0.0/30", "fd00::/64"]).family(), Family::V4);
    assert_eq!(pools(&["fd00::/64"]).family(), Family::V6);
    assert_eq!(Pools::default().family(), Family::V4);
}

#[test]
fn a_leased_address_is_withdrawn_when_it_is_returned() {
    let pools = pools(&["10.9.0.4/32"]);
    let lease = pools.lease(Family::V4).unwrap();
    lease.assign("si_0123abcd_1");
    pools.withdraw(ip("10.9.0.4")).unwrap();
    let state = |pools: &Pools| pools.list()[0].state.clone();
    let island = Some("si_0123abcd_1".to_owned());
    assert_eq!(state(&pools), AddressState::Leased { island, withdrawn: true });
    drop(lease);
    assert_eq!(state(&pools), AddressState::Withdrawn);
    assert!(pools.lease(Family::V4).is_err());
    pools.restore(ip("10.9.0.4")).unwrap();
    assert!(pools.lease(Family::V4).is_ok());
    assert_eq!(pools.withdraw(ip("10.9.0.5")), Err(UnknownAddress(ip("10.9.0.5"))));
}

#[test]
fn an_operator_cannot_put_a_foreign_address_back() {
    let pools = pools(&["10.9.0.4/32"]);
    assert!(pools.mark_foreign(ip("10.9.0.4")));
    assert!(!pools.mark_foreign(ip("10.9.0.5")));
    pools.restore(ip("10.9.0.4")).unwrap();
    assert_eq!(pools.list()[0].state, AddressState::Foreign);
    assert!(pools.lease(Family::V4).is_err());
}

#[tokio::test(start_paused = true)]
async fn an_address_on_its_way_back_is_waited_for_and_no_longer_than_said() {
    let pools = pools(&["10.9.0.4/32"]);
    let lease = pools.lease(Family::V4).unwrap();
    let wait = Duration::from_secs(1);
    assert!(pools.lease_within(Family::V4, wait).await.is_err());
    let later = async {
        tokio::time::sleep(wait / 2).await;
        drop(lease);
    };
    let (next, ()) = tokio::join!(pools.lease_within(Family::V4, wait), later);
    assert!(next.is_ok());
}

#[derive(Clone, Debug)]
enum Step {
    Lease(bool),
    Return(usize),
    Withdraw(u8),
    Restore(u8),
    Foreign(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Lease),
        4 => any::<usize>().prop_map(Step::Return),
        1 => any::<u8>().prop_map(Step::Withdraw),
        1 => any::<u8>().prop_map(Step::Restore),
        1 => any::<u8>().prop_map(Step::Foreign),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_no_address_is_lent_twice_and_none_is_lost(
        steps in proptest::collection::vec(step(), 0..200)
    ) {
        let pools = pools(&["10.9.0.0/29", "fd00::/125"]);
        let all: Vec<_> = pools.list().iter().map(|it| it.address).collect();
        let pick = |number: u8| all[usize::from(number) % all.len()];
        let (mut held, mut withdrawn) = (Vec::<Lease>::new(), BTreeSet::new());
        let mut foreign = BTreeSet::new();
        for step in steps {
            match step {
                Step::Lease(four) => {
                    let family = if four { Family::V4 } else { Family::V6 };
                    let holds = |it: &IpAddr| held.iter().any(|lease| lease.address() == *it);
                    let free = |it: &&IpAddr| Family::of(**it) == family && !holds(it)
                        && !withdrawn.contains(*it) && !foreign.contains(*it);
                    let free: BTreeSet<_> = all.iter().filter(free).copied().collect();
                    match pools.lease(family) {
                        Ok(lease) => {
                            prop_assert!(free.contains(&lease.address()));
                            held.push(lease);
                        }
                        Err(_) => prop_assert!(free.is_empty()),
                    }
                }
                Step::Return(number) if !held.is_empty() => {
                    held.swap_remove(number % held.len());
                }
                Step::Return(_) => {}
                Step::Withdraw(number) => {
                    pools.withdraw(pick(number)).unwrap();
                    withdrawn.insert(pick(number));
                }
                Step::Restore(number) => {
                    pools.restore(pick(number)).unwrap();
                    withdrawn.remove(&pick(number));
                }
                Step::Foreign(number) => {
                    pools.mark_foreign(pick(number));
                    foreign.insert(pick(number));
                }
            }
            let leased = |it: &PoolAddress| matches!(it.state, AddressState::Leased { .. });
            let found: BTreeSet<_> = pools.list().into_iter().filter(leased).map(|it| it.address).collect();
            let expected: BTreeSet<_> = held.iter().map(Lease::address).collect();
            prop_assert_eq!(found.len(), held.len());
            prop_assert_eq!(found, expected);
        }
        held.clear();
        let mut lent = Vec::new();
        while let Ok(lease) = pools.lease(Family::V4).or_else(|_| pools.lease(Family::V6)) {
            lent.push(lease);
        }
        prop_assert_eq!(lent.len(), all.len() - withdrawn.union(&foreign).count());
    }

    #[test]
    fn leases_of_many_threads_are_all_different(threads in 2usize..6) {
        let pools = pools(&["10.9.0.0/28"]);
        let taken = Mutex::new(BTreeSet::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| for _ in 0..200 {
                    let Ok(lease) = pools.lease(Family::V4) else { continue };
                    assert!(taken.lock().insert(lease.address()), "lent twice");
                    taken.lock().remove(&lease.address());
                });
            }
        });
    }
}
