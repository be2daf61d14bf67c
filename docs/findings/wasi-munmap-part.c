/*
 * wasi-libc refuses to unmap a part of a mapping
 *
 * Promised: munmap removes the whole pages of the range, also if they are a part of a mapping (POSIX munmap;
 * clause munmap.usual-arguments).
 * Seen: munmap fails with EINVAL for a length that is not the one of mmap.
 * System: wasi-libc of zig 0.17.1, under wasmtime
 * Reported: a rewrite for whole pages exists elsewhere (wasix-org/wasix-libc pull request 126)
 * Needs: module:ziglang module:wasmtime
 * Run: python3 -m ziglang cc -target wasm32-wasi -D_WASI_EMULATED_MMAN $SOURCE -lwasi-emulated-mman -o finding.wasm && python3 -c 'import sys; from wasmtime import *; e = Engine(); l = Linker(e); l.define_wasi(); s = Store(e); s.set_wasi(WasiConfig()); l.instantiate(s, Module.from_file(e, "finding.wasm")).exports(s)["_start"](s)'
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

int main(void)
{
    size_t page = 65536;
    char *start = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int result = munmap(start, page);
    printf("munmap: %d, errno %d\n", result, result ? errno : 0);
    return result != 0;
}
