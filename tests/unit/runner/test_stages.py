import random

from osiris.runner.stages import MAX_CHAIN, Group, not_needed, plan_groups


def step(name, reads=(), needs=(), mode=None):
    inputs = {f"df_{n}_{parent}": parent for n, parent in enumerate(reads)}
    mode = mode or ("transform" if reads else "read")
    return {"id": name, "mode": mode, "inputs": inputs, "needs": sorted({*reads, *needs})}


def writer(name, reads, needs=()):
    return step(name, [reads], needs, "write")


def test_chain_is_one_group():
    steps = [step("a"), step("b", ["a"]), writer("w", "b")]
    assert plan_groups(steps) == [Group(("a", "b", "w"), "write")]


def test_two_readers_spool():
    steps = [step("a"), writer("w", "a"), writer("x", "a")]
    assert plan_groups(steps) == [Group(("a",), "spool"), Group(("w",), "write"), Group(("x",), "write")]


def test_one_reader_that_reads_twice_spools():
    steps = [step("a"), step("b", ["a", "a"]), writer("w", "b")]
    assert plan_groups(steps) == [Group(("a",), "spool"), Group(("b", "w"), "write")]


def test_output_that_somebody_waits_for_spools():
    steps = [step("a"), writer("w", "a"), step("z", needs=["a"])]
    assert plan_groups(steps) == [Group(("a",), "spool"), Group(("w",), "write"), Group(("z",), "count")]


def test_output_that_nobody_reads_is_counted():
    assert plan_groups([step("a")]) == [Group(("a",), "count")]


def test_join_pulls_both_sides():
    steps = [step("a"), step("b"), step("j", ["a", "b"]), writer("w", "j")]
    assert plan_groups(steps) == [Group(("a", "b", "j", "w"), "write")]


def test_long_chain_is_cut():
    steps = [step("s0")] + [step(f"s{n}", [f"s{n - 1}"]) for n in range(1, 100)] + [writer("w", "s99")]
    sizes = [len(group.steps) for group in plan_groups(steps)]
    assert sizes == [MAX_CHAIN, MAX_CHAIN, MAX_CHAIN, 5]


def test_step_waits_for_a_writer():
    steps = [step("a"), writer("w", "a"), step("b", needs=["w"]), writer("x", "b")]
    assert plan_groups(steps) == [Group(("a", "w"), "write"), Group(("b", "x"), "write")]


def test_skipped_steps_do_not_read():
    steps = [step("a"), writer("w", "a"), writer("x", "a")]
    assert plan_groups(steps, {"w"}) == [Group(("a", "x"), "write")]


def test_steps_above_a_delivery_are_not_needed():
    steps = [step("a"), step("b", ["a"]), step("c", ["a"]), writer("w", "b"), writer("x", "c"), step("lonely")]
    assert not_needed(steps, {"w"}) == {"b"}
    assert not_needed(steps, {"w", "x"}) == {"a", "b", "c"}
    assert not_needed(steps, set()) == set()


def random_steps(chance, size):
    steps = []
    for n in range(size):
        sources = [s["id"] for s in steps if s["mode"] != "write"]
        names = [s["id"] for s in steps]
        reads = chance.sample(sources, min(len(sources), chance.choice([0, 1, 1, 2, 3])))
        waits = chance.sample(names, min(len(names), chance.choice([0, 0, 0, 1])))
        mode = "write" if reads and chance.random() < 0.3 else None
        steps.append(step(f"s{n:03}", reads[:1] if mode else reads, waits, mode))
    return steps


def test_any_plan_runs_each_step_once_and_in_order():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(300):
        steps = random_steps(chance, chance.randrange(1, 40))
        table = {s["id"]: s for s in steps}
        groups = plan_groups(steps)
        assert sorted(name for g in groups for name in g.steps) == sorted(table)
        done = set()
        for group in groups:
            inside = set(group.steps)
            for name in group.steps:
                reads = set(table[name]["inputs"].values())
                assert reads <= done | inside
                assert set(table[name]["needs"]) - reads <= done
            done |= inside


def test_ten_thousand_steps_take_a_moment():
    steps = [step("s00000")]
    steps += [step(f"s{n:05}", [f"s{n - 1:05}"]) for n in range(1, 10_000)]
    assert len(plan_groups(steps)) == -(-10_000 // MAX_CHAIN)


def test_output_that_is_looked_at_spools():
    steps = [step("a"), step("b", ["a"]), writer("w", "b"), step("alone")]
    groups = [Group(("a",), "spool"), Group(("b", "w"), "write"), Group(("alone",), "spool")]
    assert plan_groups(steps, spooled={"a", "alone"}) == groups
