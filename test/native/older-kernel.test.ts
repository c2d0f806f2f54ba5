// time limit: 300 s
/** Kernels before 6.7 have no PAGEMAP_SCAN: the entries of `/proc/self/pagemap` have to tell the same. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { compile } from "../support/compile.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const root = fileURLToPath(new URL("../../../", import.meta.url))
const files = ["test/native/own-pages", "test/native/swap", "test/native/dump", "test/native/diff"]

test("pages are found without PAGEMAP_SCAN as with it", () => {
  using scratch = temporaryDirectory()
  const launcher = compile("without-pagemap-scan", scratch.path)
  const { status, stdout } = spawnSync(launcher, [process.execPath, join(root, "scripts/test.mjs"), ...files], {
    cwd: root,
    encoding: "utf8",
  })
  assert.is(status, 0, stdout)
  assert.match(stdout, /^[1-9]\d* passed, 0 failed/m)
})

test.run()
