"""Facts about the machine's CPU."""

import pytest

from sepray import processor

LISTED = """processor\t: 0
model name\t: Some(R)  CPU(TM) @ 2 GHz
flags\t\t: fpu avx2 amx_bf16

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""


@pytest.fixture
def system(monkeypatch):
    """Stands in for the operating system: ``system(text)`` is what it tells of the CPUs; None: nothing."""

    def tell(text):
        def read(*arguments, **settings):
            if text is None:
                raise OSError
            return text

        monkeypatch.setattr(processor.Path, "read_text", read)

    return tell


def test_cpu_is_the_first_that_the_system_lists(system):
    system(LISTED)
    assert processor.name() == "Some(R)  CPU(TM) @ 2 GHz"
    assert processor.short_name() == "Some CPU @ 2 GHz"
    assert processor.flags() == {"fpu", "avx2", "amx_bf16"}


@pytest.mark.parametrize("text", [None, "", "flags : \n"])
def test_cpu_of_which_the_system_tells_nothing_has_its_kind_as_name(system, monkeypatch, text):
    system(text)
    monkeypatch.setattr(processor.platform, "processor", lambda: "")
    monkeypatch.setattr(processor.platform, "machine", lambda: "riscv64")
    assert processor.name() == processor.short_name() == "riscv64"
    assert processor.flags() == frozenset()


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ({"fpu", "avx2", "avx512f"}, False),
        ({"fpu", "avx512_bf16"}, True),
        ({"amx_tile", "amx_bf16"}, True),
        ({"avx512_bf16_like", "amx_int8"}, False),
        (set(), False),
    ],
)
def test_bfloat16_is_native_with_either_instruction_set(flags, native):
    assert processor.has_bfloat16(flags) is native


def test_cpus_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(processor.os, "sched_getaffinity", lambda pid: {3, 5, 7} if pid == 0 else set(), raising=False)
    assert processor.cpus() == 3
    monkeypatch.delattr(processor.os, "sched_getaffinity")
    for counted, cpus in ((5, 5), (None, 1)):
        monkeypatch.setattr(processor.os, "cpu_count", lambda counted=counted: counted)
        assert processor.cpus() == cpus
