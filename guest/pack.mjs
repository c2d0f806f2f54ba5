// Packs the built guest: initramfs from agent and busybox, both images under
// brotli, and guest.json which says what they are.
//
// usage: node pack.mjs --kernel vmlinux --init init --busybox busybox
//                      --release 6.1.x --out folder

import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { brotliCompressSync, constants } from "node:zlib"
import { cpio } from "./cpio.mjs"

const here = dirname(fileURLToPath(import.meta.url))

const COMMAND_LINE = "console=ttyS0 quiet reboot=k panic=1 nomodule rdinit=/init"

// One symbolic link each, and each costs every boot some time (5 ms where the
// kernel is emulated), so only what tests and scripts usually call.
const APPLETS = [
  "[",
  "awk",
  "cat",
  "chmod",
  "cmp",
  "cp",
  "cut",
  "date",
  "dd",
  "df",
  "dmesg",
  "echo",
  "env",
  "false",
  "find",
  "free",
  "grep",
  "gzip",
  "head",
  "ip",
  "kill",
  "ln",
  "ls",
  "md5sum",
  "mkdir",
  "mknod",
  "mount",
  "mv",
  "nc",
  "nproc",
  "od",
  "ping",
  "poweroff",
  "ps",
  "reboot",
  "rm",
  "sed",
  "seq",
  "sh",
  "sha256sum",
  "sleep",
  "sort",
  "stat",
  "sync",
  "tail",
  "tar",
  "test",
  "touch",
  "tr",
  "true",
  "umount",
  "uname",
  "wc",
  "xargs",
]

const { values: options } = parseArgs({
  options: {
    kernel: { type: "string" },
    init: { type: "string" },
    busybox: { type: "string" },
    release: { type: "string" },
    out: { type: "string" },
  },
})
for (const name of ["kernel", "init", "busybox", "release", "out"]) {
  if (options[name] === undefined) throw new Error(`--${name} is missing`)
}

/** A `#define` of the agent's wire.h, which is where its versions are stated. */
function defined(name) {
  const match = new RegExp(`^#define ${name} "?([^"\\n]*?)u?"?$`, "m").exec(
    readFileSync(join(here, "agent/wire.h"), "utf8"),
  )
  if (match === null) throw new Error(`agent/wire.h does not define ${name}`)
  return match[1]
}

function initramfs() {
  const entries = {
    bin: { directory: true, mode: 0o755 },
    "bin/busybox": { file: readFileSync(options.busybox), mode: 0o755 },
    dev: { directory: true, mode: 0o755 },
    // the standard streams of process 1, before devtmpfs is mounted over it
    "dev/console": { character: [5, 1], mode: 0o600 },
    init: { file: readFileSync(options.init), mode: 0o755 },
    mnt: { directory: true, mode: 0o755 },
    proc: { directory: true, mode: 0o555 },
    sys: { directory: true, mode: 0o555 },
    tmp: { directory: true, mode: 0o777 },
  }
  for (const name of APPLETS) entries[`bin/${name}`] = { symlink: "busybox" }
  return cpio(entries)
}

function write(file, image) {
  const packed = brotliCompressSync(image, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 24,
      [constants.BROTLI_PARAM_SIZE_HINT]: image.length,
    },
  })
  writeFileSync(join(options.out, file), packed)
  return {
    file,
    compression: "brotli",
    compressedSize: packed.length,
    size: image.length,
    sha256: createHash("sha256").update(image).digest("hex"),
  }
}

mkdirSync(options.out, { recursive: true })
const description = {
  kernelVersion: options.release,
  kernel: write("vmlinux.br", readFileSync(options.kernel)),
  initramfs: write("initramfs.cpio.br", initramfs()),
  agentVersion: defined("AGENT_VERSION"),
  protocolVersion: Number(defined("PROTOCOL_VERSION")),
  commandLine: COMMAND_LINE,
  readyLine: "cryovm guest ready",
}
writeFileSync(join(options.out, "guest.json"), `${JSON.stringify(description, null, 2)}\n`)
console.log(
  `kernel ${description.kernel.compressedSize}, initramfs ${description.initramfs.compressedSize} bytes compressed`,
)
