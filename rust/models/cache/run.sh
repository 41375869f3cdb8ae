#!/bin/sh
# Every finding, one line each: what must happen (HOLDS or FAILS), what it shows, the settings. Some minutes on two cores.
# SHOW=1 prints the steps; SHORT=1 leaves out the lines that take ten seconds or more (`long`). Exit 1 where a line is wrong.
cd "$(dirname "$0")/.." && cargo build --release --locked -q || exit 1
bad=0
t() {
    want=$1; what=$2; shift 2
    out=$(./target/release/cachemodel threads=2 "$@"); got=$(echo "$out" | grep -oE 'HOLDS|FAILS' | head -1)
    [ "$got" = "$want" ] && mark=ok || { mark=WRONG; bad=1; }
    echo "$mark $got: $what  [$(echo "$out" | head -1)]"
    [ -n "$SHOW" ] && echo "$out" | tail -n +2
}
long() { [ -n "$SHORT" ] || t "$@"; }
ONE="commits=1 flights=1"
# L1 alone
t FAILS "1  join: a late caller joins a fill whose read is old" commits=2
t FAILS "2  a slow fill outlives the floor" join=3 commits=2
t FAILS "2b the same with a lag far below the floor's life" join=3 commits=2 lag=1
t FAILS "2c fills limited, but lag + fill = floor's life" join=3 commits=2 lag=3 lease_max=1
t HOLDS "2d lag + fill < floor's life" join=3 commits=2 lag=2 lease_max=1
L1="join=3 lag=2 lease_max=1"
t FAILS "3  a start while a commit is logged but not visible: SQL fill" $L1 nrest=1
t FAILS "3b the same where a reader lost its place" $L1 npurge=1
t HOLDS "3c entries live max_staleness in the first floor's life" $L1 nrest=1 npurge=1 start_l3=1 commits=1
t HOLDS "3d or the reader starts at an older coordinate" $L1 nrest=1 replay=1
t FAILS "4  no detach: own write not seen by a joiner" $L1 detach=0 writers=1
# L2 with the lease token and version tombstones
T="$L1 l1=0 l2=1"
t FAILS "5  tombstone lives only as long as a floor" join=3 lag=3 lease_max=1 l1=0 l2=1 $ONE
t HOLDS "5b it lives a floor's life and the token's" join=3 lag=3 lease_max=1 l1=0 l2=1 $ONE f2=5
t FAILS "6  tombstone evicted" $T nevict=1
t FAILS "6b tombstone evicted, tells remove the token" $T nevict=1 tell_tok=1
t FAILS "7  failover, replica lacks the last tells, nobody looks" $T $ONE nfail=1 replid=0
t FAILS "7b replid read before the script" $T $ONE nfail=1 replid=1
t FAILS "8  replid read in the script, new epoch, a commit not yet visible" $T $ONE nfail=1
t FAILS "8b new epoch after a purge, the same" $T $ONE npurge=1
long HOLDS "8c entries live max_staleness in an epoch's first floor's life" $T $ONE nfail=1 npurge=1 grace=1
t HOLDS "9  told is compare-and-set: no replid, no new epoch" $T $ONE nfail=1 chain=1
t FAILS "10 neither token nor window" $T guard=versions
t HOLDS "10b a window by Redis's clock in place of the token" $T $ONE guard=timed
# both layers
B="$L1 l2=1 $ONE start_l3=1 grace=1"
t FAILS "11 start-up rule looked at when storing" $B nrest=1 startup=1
long HOLDS "11b looked at when asking" $B nrest=1 startup=2
long HOLDS "11c told's coordinate is at least the reader's first" $B nrest=1 startup=3
t FAILS "12 a folded floor, then an L2 answer" $B nfold=1 writers=1 startup=3
long HOLDS "12b a folded stripe does not ask L2" $B nfold=1 writers=1 startup=3 fold_l2=1
# the smaller protocol: compare-and-set told, fills guarded by the reader's coordinate, no token, no tombstone, no lease stamp
S="join=3 lease_max=1 s=1 f=3 lag=1 l2=1 start_l3=1 startup=3 guard=coord chain=1 fold_l2=1 serve_check=0 lease=0 drop=0 freeze=1 failsafe=2"
t HOLDS "13 restart" $S $ONE nrest=1
t HOLDS "13b failover, wiped Redis" $S $ONE nfail=1 wipe=1
long HOLDS "13c failover, purge, restart" $S $ONE nfail=1 npurge=1 nrest=1
t FAILS "14 without the fill's time limit" $S $ONE lease_max=200
t FAILS "14b without the join limit" $S $ONE join=0
t FAILS "14c without the start-up rule for L2" $S $ONE startup=0 nrest=1
t FAILS "14d without the start-up rule for SQL" $S $ONE start_l3=0 nrest=1
t HOLDS "14e the reader starts at an older coordinate instead" $S $ONE start_l3=0 replay=1 nrest=1
t FAILS "14h a worker fills L2 in its first floor's life" $S $ONE nrest=1 early_fill=1
t FAILS "14f told not compare-and-set" $S $ONE chain=0 replid=0 nfail=1
t FAILS "14g folded stripes ask L2" $S $ONE fold_l2=0 nfold=1 writers=1
t FAILS "15 fail-safe, floors age" $S $ONE freeze=0 writers=1 ext=0
long FAILS "15b fail-safe, L2 told less than this reader" $S commits=2 flights=1 writers=1 failsafe=1
# deletes whose event carries the version that the row had, and a row inserted again
D="$L1 leave=1 del_same=1"
t FAILS "16 a delete's event has the old version: the old entry is not below it" $D
t FAILS "16b delete raises version + 1, the row is inserted again" $D gone_le=1
t HOLDS "16c an insert not above the gone floor lets nothing pass for the floor's life" $D gone_le=1 quar=1
t HOLDS "16d the same, numbered from 1 again" $D gone_le=1 quar=1 reinsert=1
exit $bad
