"""Disk images for the contract suites: guests of 512 bytes."""

import struct
from collections.abc import Callable
from pathlib import Path

FIRST_BLOCK = 2048
SIGN_OF_LIFE = b"guest is up"

# cld; xor ax,ax; mov ds,ax; mov si,text; next: lodsb; test al,al; jz stop; mov dx,3f8h; out dx,al; jmp next;
# stop: hlt; jmp stop; text: written to the first serial port
CLINGS = bytes.fromhex("fc31c08ed8be167cac84c07406baf803eeebf5f4ebfd")
# The same up to stop; then it does what ACPI would, by the ports of QEMU's docs/specs/acpi_pci_hotplug: at each tick of
# the clock (stop: sti; hlt; xor ecx,ecx) for each bus (bus: mov dx,0cd0h; mov eax,ecx; out dx,eax) it reads what is to
# go (mov dl,0c4h; in eax,dx; test eax,eax; jz other), and ejects it (mov dl,0c8h; out dx,eax);
# other: inc cl; cmp cl,64; jb bus; jmp stop
LETS_GO = bytes.fromhex(
    "fc31c08ed8be367cac84c07406baf803eeebf5fbf46631c9bad00c6689c866efb2c466ed6685c07404b2c866effec180f94072e4ebdd"
)


# The same up to stop, with the text at 7c57h; then it writes the blocks of a disk from the 2048th on, each full of its
# number: next: inc dword [number]; mov eax,[number]; mov di,8000h; mov cx,128; rep stosd; mov si,packet; mov ax,4300h;
# mov dl,80h; int 13h; jc stop; mov dx,3f8h; mov al,'.'; out dx,al; inc dword [block]; jmp next; stop: hlt; jmp stop;
# packet: db 16,0; dw 1; dw 8000h,0; block: dd 2048,0; number: dd 0. Without write-back, which the firmware does not
# ask for, QEMU has each of them on the disk before the dot.
WRITES = bytes.fromhex(
    "fc31c08ed88ec0be577cac84c07406baf803eeebf566ff06537c66a1537cbf0080b9800066f3abbe437cb80043b280cd13720dbaf803b02e"
    "ee66ff064b7cebd5f4ebfd1000010000800000000800000000000000000000"
)


def write_guest(file: Path, lets_go: bool = False) -> Path:
    """Write a raw disk of 1 MiB that boots, says that it is up on the serial console, and sleeps.

    ``lets_go`` is whether it lets go of a disk or a card when it is asked to.
    """
    return _write_boot_disk(file, LETS_GO if lets_go else CLINGS)


def write_writer(file: Path) -> Path:
    """Write a raw disk whose guest writes numbered blocks, and a dot to the serial console after each."""
    return _write_boot_disk(file, WRITES)


def number_in_words(number: int) -> bytes:
    """Return a block as the writer writes it."""
    return struct.pack("<I", number) * 128


def number_in_bytes(number: int) -> bytes:
    """Return a block as QEMU's own qemu-io can write it."""
    return bytes([(number - 1) % 255 + 1]) * 512


def written_blocks(disk: bytes, block: Callable[[int], bytes] = number_in_words) -> int:
    """Return how many numbered blocks are on a disk; fail if they are not all from the first to the last."""
    blocks = disk[FIRST_BLOCK * 512 :].rstrip(b"\0")
    count = -(-len(blocks) // 512)
    expected = b"".join(map(block, range(1, count + 1)))
    # The numbers' upper bytes are zeros: of the last block some were stripped.
    assert expected.startswith(blocks) and len(expected) - len(blocks) < 4, f"the {count} blocks are not the first ones"
    return count


def _write_boot_disk(file: Path, code: bytes) -> Path:
    program = code + SIGN_OF_LIFE + b"\r\n\0"
    file.write_bytes(program.ljust(510, b"\0") + b"\x55\xaa" + bytes(2**20 - 512))
    return file
