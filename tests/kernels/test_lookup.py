"""Look-ups give the same sums on every kind of processor: what each compiles is run here, or compiled for it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from matterhorn.kernels.lookup import byte_shuffle

SCRIPT = """
import hashlib
from matterhorn.runtime.events import EventsBackend
from tests.kernels.arrays import array, code_and_slots, connection, population
digest = hashlib.sha256()
for kind, bits, mean in (("int1", 4, True), ("int4", 4, False), ("ternary", 6, True)):
    for fan_in, fan_out in ((100, 200), (384, 448)):
        code, slots = code_and_slots(bits, 1, 3, fan_in, mean=mean)
        out = EventsBackend().integrate(slots, array(connection(kind, fan_in, fan_out)), population(code, fan_in))
        digest.update(out[:, :fan_out].tobytes())
print(digest.hexdigest())
"""


def digest_on(folder, features: str | None) -> str:
    """What a process gives whose kernels are compiled for a processor with these features (None: this one)."""
    known = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    if features is not None:
        known |= {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(command, env=known, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_every_processor_gives_the_same_sums(tmp_path):
    kinds = [None, "", "+ssse3", "+avx,+avx2,+ssse3"] if os.uname().machine == "x86_64" else [None, ""]
    assert len({digest_on(tmp_path / str(i), kind) for i, kind in enumerate(kinds)}) == 1


class Codegen:
    """Stands for numba's: what a processor is called and can do."""

    def __init__(self, triple: str, features: str):
        self.names = (triple, "generic", features)

    def codegen(self):
        return self

    def magic_tuple(self):
        return self.names


def looked_up_on_arm(table: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """What the code for ARM64 finds, run by an emulator: ``int8 [16]``, ``uint8 [16]`` → ``int8 [16]``."""
    unicorn = pytest.importorskip("unicorn", reason="an emulator of ARM64")
    triple, module = "aarch64-unknown-linux-gnu", ir.Module()
    lanes, look_up = byte_shuffle(Codegen(triple, "+neon"), module)
    kind = ir.VectorType(ir.IntType(8), lanes)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [kind.as_pointer()] * 3), "look_up")
    builder = ir.IRBuilder(function.append_basic_block())
    given, named, out = function.args
    found = look_up(builder, builder.load(given, align=1), builder.load(named, align=1))
    builder.store(found, out, align=1)
    builder.ret_void()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(features="+neon")
    own = llvm.parse_assembly(str(module))
    own.triple = triple
    assert "tbl" in machine.emit_assembly(own)
    code = text_of(machine.emit_object(own))
    emulator = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    emulator.mem_map(0x10000, 0x4000)
    registers, end = unicorn.arm64_const, 0x13000
    emulator.reg_write(registers.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # vector instructions are allowed
    for number, name in enumerate(("X0", "X1", "X2")):
        emulator.reg_write(getattr(registers, f"UC_ARM64_REG_{name}"), 0x12000 + 16 * number)
    emulator.reg_write(registers.UC_ARM64_REG_X30, end)
    emulator.mem_write(0x10000, code)
    emulator.mem_write(0x12000, table.tobytes() + choices.tobytes())
    emulator.emu_start(0x10000, end)
    return np.frombuffer(bytes(emulator.mem_read(0x12020, 16)), np.int8)


def text_of(binary: bytes) -> bytes:
    """The code of an object file (ELF, 64 bits)."""
    (start,), (size, count, names) = struct.unpack_from("<Q", binary, 0x28), struct.unpack_from("<HHH", binary, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", binary, start + i * size) for i in range(count)]
    labels = sections[names][4]
    for label, _, _, _, place, length in sections:
        if binary[labels + label : binary.index(b"\0", labels + label)] == b".text":
            return binary[place : place + length]
    raise AssertionError("no code")


def test_arm_looks_up_the_same():
    draw = np.random.Generator(np.random.PCG64(0))
    for _ in range(20):
        table, choices = draw.integers(-128, 128, 16).astype(np.int8), draw.integers(0, 16, 16).astype(np.uint8)
        assert np.array_equal(looked_up_on_arm(table, choices), table[choices])
