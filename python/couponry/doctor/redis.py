"""What the two Redis addresses are set to."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis
from redis.cluster import RedisCluster

from couponry import preflight
from couponry.config import RedisAddress, RedisKind, Settings, parse_redis_url
from couponry.doctor.findings import Finding, State, judge, version_of
from couponry.store.redis_clients import sentinels

__all__ = ["of_redis"]

_REDIS_LEAST = (6, 2)
_REPLICATION_IN_SCRIPT = "return redis.call('INFO', 'replication')"


def of_redis(settings: Settings) -> Iterator[Finding]:
    runs: dict[str, set[str]] = {}
    addresses = {"redis.sale": settings.redis.sale, "redis.cache": settings.redis.cache}
    for key, secret in addresses.items():
        url = secret.get_secret_value()
        problem = preflight.redis_problem(key, url, settings.redis)
        if problem is not None:
            yield Finding(key, "reachable", State.FAIL, "no", problem)
            continue
        yield Finding(key, "reachable", State.OK, "yes")
        address = parse_redis_url(url)
        with preflight.asked_redis(url, settings.redis) as client:
            servers = _servers(client)
            infos = [server.info() for server in servers]
            runs[key] = {str(info["run_id"]) for info in infos}
            match address.kind:
                case RedisKind.SENTINEL:
                    yield from _sentinels(key, address, settings)
                case RedisKind.CLUSTER:
                    yield from _cluster(key, client)
                case RedisKind.SINGLE:
                    pass
            # Servers of one installation are mostly set alike: what is wrong at several is told once, of the first.
            seen: dict[tuple[str, str], Finding] = {}
            for server, info in zip(servers, infos, strict=True):
                for finding in _of_server(key, server, info, runs, settings):
                    wrong = finding.state is not State.OK
                    if wrong or (finding.check, State.OK.value) not in seen:
                        seen.setdefault((finding.check, finding.state.value), finding)
            wrong_checks = {finding.check for finding in seen.values() if finding.state is not State.OK}
            yield from (each for each in seen.values() if each.state is not State.OK or each.check not in wrong_checks)


@dataclass(frozen=True, slots=True)
class _Server:
    """One server that takes writes: the one of the address, or a primary of a Cluster."""

    ask: Callable[..., Any]

    def info(self) -> Mapping[str, Any]:
        """INFO, all sections."""
        found: Mapping[str, Any] = self.ask("INFO")
        return found


def _servers(client: Any) -> list[_Server]:
    if not isinstance(client, RedisCluster):
        return [_Server(client.execute_command)]
    # The stubs of redis-py leave the nodes without types.
    cluster: Any = client
    nodes = sorted(cluster.get_primaries(), key=lambda node: str(node.name))
    return [_Server(partial(cluster.get_redis_connection(node).execute_command)) for node in nodes]


def _of_server(
    key: str, server: _Server, info: Mapping[str, Any], runs: Mapping[str, set[str]], settings: Settings
) -> Iterator[Finding]:
    version = str(info["redis_version"])
    right = version_of(version) >= _REDIS_LEAST
    yield judge(key, "version", version, "use Redis 6.2 or later", right=right)
    yield _scripts(key, server)
    config = _config(server)
    if config is None:
        yield Finding(key, "settings", State.WARN, "CONFIG GET is refused", "compare them by hand")
    elif key == "redis.sale":
        yield from _sale_settings(key, config)
    else:
        yield from _cache_settings(key, config, shared=bool(runs.get("redis.sale", set()) & runs[key]))
    if key == "redis.sale":
        # Right without any as long as no activity asks for them.
        wanted = settings.flash_sale.replicas
        found = f"{info['connected_slaves']} (ack = REPLICA needs {wanted})"
        yield Finding(key, "replicas", State.OK, found)


def _sentinels(key: str, address: RedisAddress, settings: Settings) -> Iterator[Finding]:
    """Whether enough Sentinels answer to promote a replica, and whether there is one."""
    answering, quorum, replicas = 0, 0, 0
    with sentinels(address, settings.redis) as watching:
        for each in watching.sentinels:
            try:
                state = each.sentinel_master(address.master)
            except redis.RedisError:
                continue
            answering += 1
            quorum, replicas = int(state["quorum"]), max(replicas, int(state["num-slaves"]))
    known = len(address.nodes)
    right = answering == known and answering >= quorum
    advice = f"start the Sentinels that are down; {quorum} must agree before one promotes a replica"
    found = f"{answering} of {known} answer, quorum {quorum}"
    wrong = State.WARN if answering >= quorum else State.FAIL
    yield judge(key, "sentinels", found, advice, right=right, wrong=wrong)
    advice = "add a replica: without one nothing can be promoted"
    yield judge(key, "replicas of the master", str(replicas), advice, right=replicas > 0, wrong=State.WARN)


def _cluster(key: str, client: Any) -> Iterator[Finding]:
    """Whether every slot has a server, and every primary a replica."""
    one = client.get_primaries()[0]
    state = str(client.execute_command("CLUSTER INFO", target_nodes=one)["cluster_state"])
    yield judge(
        key, "cluster_state", state, "redis-cli --cluster check says which slots nobody has", right=state == "ok"
    )
    followed = {
        each["master_id"]
        for each in client.execute_command("CLUSTER NODES", target_nodes=one).values()
        if "slave" in each["flags"] and "fail" not in each["flags"].split(",")
    }
    primaries = len(client.get_primaries())
    yield judge(
        key,
        "primaries with a replica",
        f"{len(followed)} of {primaries}",
        "give every primary a replica: without one its slots are gone when it is",
        right=len(followed) >= primaries,
        wrong=State.WARN,
    )


def _scripts(key: str, server: _Server) -> Finding:
    try:
        server.ask("EVAL", _REPLICATION_IN_SCRIPT, 0)
    except redis.RedisError:
        return Finding(key, "scripts", State.FAIL, "refused", "ACL SETUSER … +eval +evalsha +script|load +info")
    return Finding(key, "scripts", State.OK, "allowed")


def _config(server: _Server) -> Mapping[str, str] | None:
    try:
        config = server.ask("CONFIG GET", "maxmemory", "maxmemory-policy", "appendonly", "appendfsync")
    except redis.RedisError:
        return None
    return {str(name): str(value) for name, value in config.items()}


def _sale_settings(key: str, config: Mapping[str, str]) -> Iterator[Finding]:
    policy, append, sync = config["maxmemory-policy"], config["appendonly"], config["appendfsync"]
    yield judge(key, "maxmemory-policy", policy, "maxmemory-policy noeviction", right=policy == "noeviction")
    yield judge(key, "appendonly", append, "appendonly yes", right=append == "yes")
    yield judge(key, "appendfsync", sync, "appendfsync everysec", right=sync in {"always", "everysec"})


def _cache_settings(key: str, config: Mapping[str, str], *, shared: bool) -> Iterator[Finding]:
    policy, limit = config["maxmemory-policy"], int(config["maxmemory"])
    if shared:
        # Memory that the cache fills is memory that a claim is refused for.
        advice = "redis.cache: give the cache a Redis of its own before memory is limited"
        yield judge(key, "own instance", "shared with redis.sale", advice, right=limit == 0)
        return
    advice = "maxmemory 1gb (what the machine can spare)"
    found = str(limit) if limit else "unlimited"
    yield judge(key, "maxmemory", found, advice, right=limit > 0, wrong=State.WARN)
    advice = "maxmemory-policy allkeys-lru"
    yield judge(key, "maxmemory-policy", policy, advice, right=policy != "noeviction", wrong=State.WARN)
