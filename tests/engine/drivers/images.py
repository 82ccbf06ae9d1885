"""Disk images for the contract suites: a guest of 512 bytes, and files that must be refused."""

from pathlib import Path

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


def write_guest(file: Path, lets_go: bool = False) -> Path:
    """Write a raw disk of 1 MiB that boots, says that it is up on the serial console, and sleeps.

    ``lets_go`` is whether it lets go of a disk or a card when it is asked to.
    """
    program = (LETS_GO if lets_go else CLINGS) + SIGN_OF_LIFE + b"\r\n\0"
    file.write_bytes(program.ljust(510, b"\0") + b"\x55\xaa" + bytes(2**20 - 512))
    return file
