// time limit: 400 s
// runs alone
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const root = fileURLToPath(new URL("../../../", import.meta.url))

const run = (cwd: string, command: string, ...parameters: readonly string[]): string => {
  const { status, stdout, stderr, error } = spawnSync(command, parameters, {
    cwd,
    encoding: "utf8",
    maxBuffer: 64 * 2 ** 20,
    // Without what the surrounding npm run has set, which would lead back to this repository.
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.toLowerCase().startsWith("npm_"))),
  })
  assert.is(status, 0, `${command} ${parameters.join(" ")}: ${error ?? ""}\n${stdout}\n${stderr}`)
  return stdout
}

/** What a user would write first, in JavaScript. */
const PLAIN_SCRIPT = `
import { inspectSnapshot, MicroVm } from "cryovm"
const vm = await MicroVm.create({ memoryMib: 128 })
await vm.start()
await vm.guest.ready({ timeoutMs: 150_000 })
const { value } = await vm.guest.counter()
await vm.snapshot({ dir: "warm" })
await vm.stop()
console.log((await inspectSnapshot("warm")).machine.memoryBytes)
const copy = await MicroVm.restore("warm", { resume: true })
const after = await copy.guest.counter()
console.log(after.value > value, (await copy.guest.exec("echo from the guest")).stdout.trim())
await copy.stop()
console.log(copy.state, import.meta.resolve("cryovm"))
`

/** The same in strict TypeScript, by Promises and by Effects. */
const TYPED_SCRIPT = `
import { type ExecResult, MicroVm, type MicroVmConfig, WrongState } from "cryovm"
import { MicroVm as EffectVm } from "cryovm/effect"
import * as Effect from "effect/Effect"

const config: MicroVmConfig = { memoryMib: 128, vcpus: 1 }
// @ts-expect-error the field is a number
const wrong: MicroVmConfig = { memoryMib: "128" }
console.log(config.memoryMib, typeof wrong)

const vm: MicroVm = await MicroVm.restore("warm", { resume: true })
const result: ExecResult = await vm.guest.exec(["echo", "typed"])
try {
  await vm.start()
} catch (error) {
  if (!(error instanceof WrongState)) throw error
  console.log(result.stdout.trim(), error.code, error.from)
}
await vm.stop()

const program = Effect.scoped(
  Effect.gen(function* () {
    const copy = yield* EffectVm.restore("warm", { resume: true })
    const { stdout } = yield* copy.guest.exec("echo by effects")
    return stdout.trim()
  }),
)
console.log(await Effect.runPromise(program))
`

const COMPILER_OPTIONS = {
  compilerOptions: {
    strict: true,
    target: "es2023",
    // The declarations of effect name types of the browser.
    lib: ["es2023", "esnext.disposable", "dom", "dom.iterable"],
    types: ["node"],
    module: "nodenext",
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    outDir: "out",
  },
  files: ["typed.ts"],
}

kvmTest("packed and installed elsewhere, it is used from JavaScript and from strict TypeScript", () => {
  using scratch = temporaryDirectory()
  assert.ok(!scratch.path.startsWith(root) && scratch.path.startsWith(tmpdir()))
  run(root, "npm", "pack", "--silent", "--pack-destination", scratch.path)
  const [archive] = readdirSync(scratch.path)
  assert.match(archive ?? "", /^cryovm-.*\.tgz$/)

  const project = join(scratch.path, "project")
  mkdirSync(project)
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }))
  writeFileSync(join(project, "plain.mjs"), PLAIN_SCRIPT)
  writeFileSync(join(project, "typed.ts"), TYPED_SCRIPT)
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(COMPILER_OPTIONS))
  run(project, "npm", "install", "--no-audit", "--no-fund", join("..", archive ?? ""))
  run(project, "npm", "install", "--no-audit", "--no-fund", "--save-dev", "typescript@7.0.2", "@types/node@20")

  const plain = run(project, "node", "plain.mjs").trim().split("\n")
  assert.equal(plain.slice(0, 2), [String(128 * 2 ** 20), "true from the guest"])
  assert.match(plain[2] ?? "", new RegExp(`^stopped file://.*${"project/node_modules/cryovm"}`))
  run(project, "npx", "tsc")
  const typed = run(project, "node", "out/typed.js").trim().split("\n")
  assert.equal(typed, ["128 object", "typed CRYOVM_WRONG_STATE Running", "by effects"])

  assert.match(run(project, "npx", "cryovm", "snapshot", "info", "warm"), /128/)
})

test.run()
