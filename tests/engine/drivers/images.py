"""Disk images for the contract suites: a guest of 512 bytes, and files that must be refused."""

from pathlib import Path

SIGN_OF_LIFE = b"guest is up"

# cld; xor ax,ax; mov ds,ax; mov si,text; next: lodsb; test al,al; jz stop; mov dx,3f8h; out dx,al; jmp next;
# stop: hlt; jmp stop; text: written to the first serial port
BOOT_SECTOR = bytes.fromhex("fc31c08ed8be167cac84c07406baf803eeebf5f4ebfd") + SIGN_OF_LIFE + b"\r\n\0"


def write_guest(file: Path) -> Path:
    """Write a raw disk of 1 MiB that boots, says that it is up on the serial console, and sleeps."""
    file.write_bytes(BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa" + bytes(2**20 - 512))
    return file
