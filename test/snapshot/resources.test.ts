import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, readdirSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:net"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { lookAtTap, resourceKinds } from "../../src/snapshot/restore/resource-kinds.ts"
import {
  lookAtResources,
  MAXIMUM_RESOURCES,
  type ResourceOverrides,
  ResourcesRefused,
  resolveResources,
} from "../../src/snapshot/restore/resources.ts"
import type { Manifest } from "../../src/state/manifest.ts"
import { temporaryDirectory } from "../support/temporary.ts"

type Resources = Manifest["resources"]

const look = (kind: string, path: string) => {
  const found = resourceKinds.get(kind)
  if (found === undefined) throw new Error(`no kind ${kind}`)
  return found(path)
}
const problemOf = async (kind: string, path: string): Promise<string> => (await look(kind, path)).problem ?? "none"

const resolveAll = (recorded: Resources, resources?: ResourceOverrides) =>
  Effect.runPromise(resolveResources("/snap", recorded, resources === undefined ? {} : { resources }))
const refusal = async (recorded: Resources, resources?: unknown): Promise<ResourcesRefused> => {
  try {
    await resolveAll(recorded, resources as ResourceOverrides)
  } catch (error) {
    assert.instance(error, ResourcesRefused)
    return error as ResourcesRefused
  }
  throw new Error("nothing was refused")
}

test("a disk is a regular file, or a link to one, with what it is now", async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, "disk")
  writeFileSync(path, "content")
  symlinkSync(path, join(scratch.path, "link"))
  const file = { size: 7, modified: statSync(path).mtime.toISOString() }
  assert.equal(await look("disk", path), { file })
  assert.equal(await look("disk", join(scratch.path, "link")), { file })
})

const blockDevice = readdirSync("/dev")
  .map((name) => join("/dev", name))
  .find((path) => statSync(path, { throwIfNoEntry: false })?.isBlockDevice())
const blockTest = blockDevice === undefined ? test.skip : test

blockTest("a disk is also a block device, whose content is not the file's", async () => {
  assert.equal(await look("disk", blockDevice ?? ""), {})
})

test("nothing else is a disk, and looking at it does not wait", async () => {
  using scratch = temporaryDirectory()
  const fifo = join(scratch.path, "fifo")
  execFileSync("mkfifo", [fifo])
  for (const path of [scratch.path, fifo, "/dev/null"]) {
    assert.is(await problemOf("disk", path), "it is neither a regular file nor a block device")
  }
  const missing = { problem: "it is not there", file: "missing" }
  assert.equal(await look("disk", join(scratch.path, "none")), missing)
  assert.equal(await look("disk", join(fifo, "below")), missing)
  assert.is(await problemOf("disk", "disks/a"), "it is not an absolute path")
  assert.is(await problemOf("disk", "/a\0b"), "it is no path")
  assert.is(await problemOf("disk", `/${"x".repeat(5000)}`), "it cannot be looked at (ENAMETOOLONG)")
})

const unprivileged = process.getuid?.() === 0 ? test.skip : test

unprivileged("a disk may be read", async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, "disk")
  writeFileSync(path, "content", { mode: 0 })
  assert.is(await problemOf("disk", path), "it cannot be looked at (EACCES)")
})

const listening = async (path: string): Promise<Server> => {
  const server = createServer((connection) => connection.destroy()).listen(path)
  await once(server, "listening")
  return server
}

test("a socket will be made where nothing is but one that is left over", async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, "socket")
  assert.equal(await look("socket", path), {})
  const server = await listening(path)
  assert.is(await problemOf("socket", path), "another process uses the socket that is there")
  // Closing a server removes its socket, unless it is somewhere else by then.
  renameSync(path, join(scratch.path, "left"))
  server.close()
  await once(server, "close")
  assert.equal(await look("socket", join(scratch.path, "left")), {})

  writeFileSync(join(scratch.path, "file"), "")
  assert.is(await problemOf("socket", join(scratch.path, "file")), "something that is no socket is there")
  symlinkSync("/nowhere", join(scratch.path, "link"))
  assert.is(await problemOf("socket", join(scratch.path, "link")), "something that is no socket is there")
  assert.is(await problemOf("socket", join(scratch.path, "file/socket")), "its parent is no directory")
  assert.is(await problemOf("socket", join(scratch.path, "none/socket")), "its parent directory is not there")
  assert.is(await problemOf("socket", "socket"), "it is not an absolute path")
})

test("the path of a socket has at most 107 bytes", async () => {
  using scratch = temporaryDirectory()
  const path = (bytes: number): string => join(scratch.path, "s".repeat(bytes - scratch.path.length - 1))
  assert.equal(await look("socket", path(107)), {})
  const server = await listening(path(107))
  server.close()
  assert.is(await problemOf("socket", path(108)), "it has 108 bytes, and the path of a socket 107 at most")
  const umlauts = join(scratch.path, "ü".repeat(50))
  assert.match(await problemOf("socket", umlauts), /^it has 1\d\d bytes/)
})

test("a tap is an interface of that kind", async () => {
  using scratch = temporaryDirectory()
  const make = (name: string, flags?: string): void => {
    mkdirSync(join(scratch.path, name))
    if (flags !== undefined) writeFileSync(join(scratch.path, name, "tun_flags"), `${flags}\n`)
  }
  make("tap0", "0x1002")
  make("fifteen-letters", "0x5902")
  make("tun0", "0x1001")
  make("eth0")
  make("odd0", "no number")
  const problem = async (name: string): Promise<string> => (await lookAtTap(scratch.path)(name)).problem ?? "none"
  assert.is(await problem("tap0"), "none")
  assert.is(await problem("fifteen-letters"), "none")
  for (const name of ["tun0", "eth0", "odd0"]) assert.is(await problem(name), "the interface is not a tap")
  assert.is(await problem("tap1"), "there is no interface of that name")
  assert.is(await problem("sixteen--letters"), "the name of an interface has 15 bytes at most")
  for (const name of ["", ".", "..", "../tap0", "a b", "a:1", "tap0\0"]) {
    assert.is(await problem(name), "it is not the name of an interface", JSON.stringify(name))
  }
  assert.is(await problemOf("tap", "lo"), "the interface is not a tap")
})

test("what is not overridden is where it was, and what is overridden where it was put", async () => {
  using scratch = temporaryDirectory()
  const [kept, copy] = [join(scratch.path, "kept"), join(scratch.path, "copy")]
  writeFileSync(kept, "kept")
  writeFileSync(copy, "copied")
  const recorded: Resources = [
    { name: "disk0", kind: "disk", path: kept, size: 4 },
    { name: "disk1", kind: "disk", path: "/gone", size: 6, modified: "2026-01-31T12:00:00.000Z" },
  ]
  const [first, second] = await resolveAll(recorded, { disk1: { path: copy } })
  const { mtime } = statSync(copy)
  assert.equal([first?.path, first?.isOverridden], [kept, false])
  assert.equal(second, {
    ...recorded[1],
    path: copy,
    isOverridden: true,
    file: { size: 6, modified: mtime.toISOString() },
  })
})

test("a relative path that is given is relative to the working directory; one in a snapshot is refused", async () => {
  const disk = { name: "disk0", kind: "disk", path: "package.json" }
  const [found] = await resolveAll([{ ...disk, path: "/gone" }], { disk0: { path: "package.json" } })
  assert.is(found?.path, resolve("package.json"))
  const { problems } = await refusal([disk])
  assert.match(problems[0]?.message ?? "", /not an absolute path/)
})

test("everything that is wrong is told at once, each by its name", async () => {
  const recorded: Resources = [
    { name: "disk0", kind: "disk", path: "/gone/disk" },
    { name: "vsock0", kind: "socket", path: "/gone/socket" },
    { name: "net0", kind: "tap", path: "no-such-tap" },
    { name: "gpu0", kind: "gpu", path: "/dev/null" },
    { name: "disk1", kind: "disk", path: "/dev/null" },
    { name: "disk1", kind: "disk", path: "/dev/null" },
  ]
  const error = await refusal(recorded, { disk7: { path: "/a" }, net0: { path: "no-such-tap" } })
  assert.equal([error.code, error.dir], ["CRYOVM_RESOURCES_REFUSED", "/snap"])
  assert.equal(
    error.problems.map(({ name, field }) => [name, field]),
    [
      ["disk7", "name"],
      ["disk1", "name"],
      ["disk0", "path"],
      ["vsock0", "path"],
      ["net0", "path"],
      ["gpu0", "kind"],
      ["disk1", "path"],
      ["disk1", "path"],
    ],
  )
  assert.match(
    error.message,
    /disk7: the snapshot has no resource of that name; it has disk0, vsock0, net0, gpu0, disk1/,
  )
  assert.match(error.message, /gpu0: this release knows no resource of kind gpu; it knows disk, socket, tap/)
  assert.match(error.message, /disk0: disk \/gone\/disk: it is not there/)
})

test("names for a snapshot that has none, and values that are no paths", async () => {
  const none = await refusal([], { disk0: { path: "/a" } })
  assert.match(none.message, /it has none/)
  assert.equal(await resolveAll([], {}), [])
  const disk = { name: "disk0", kind: "disk", path: "/dev/null" }
  for (const value of [undefined, null, "/a", {}, { path: "" }, { path: 7 }]) {
    const { problems } = await refusal([disk], { disk0: value })
    assert.equal(problems[0], { name: "disk0", field: "path", message: "expected { path: string }" })
  }
  const odd = { ...disk, name: "__proto__" }
  const { problems } = await refusal([odd], JSON.parse('{ "__proto__": { "path": "/gone" } }'))
  assert.match(problems[0]?.message ?? "", /disk \/gone: it is not there/)
})

test("a hostile list neither takes long nor fills the message", async () => {
  const long = "x".repeat(2 ** 20)
  const many = Array.from({ length: 100 }, (_, index) => ({ name: `${index}${long}`, kind: long, path: long }))
  const error = await refusal(many, { [long]: { path: long } })
  assert.ok(error.message.length < 20_000, `${error.message.length} characters`)
  assert.is(error.problems.length, 101)
  const tooMany = Array.from({ length: 100_000 }, (_, index) => ({ name: `${index}`, kind: "disk", path: "/a" }))
  const { resources, problems } = await Effect.runPromise(lookAtResources(tooMany))
  assert.is(resources.length, 0)
  assert.match(problems[0]?.message ?? "", String(MAXIMUM_RESOURCES))
})

test.run()
