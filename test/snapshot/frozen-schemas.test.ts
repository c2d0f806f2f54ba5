import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { schemasDir, schemasOfThisRelease } from "../support/frozen.ts"

const described = schemasOfThisRelease()

test("every schema of this release is frozen, and every frozen one is still there", () => {
  assert.equal(readdirSync(schemasDir).sort(), [...described.keys()].sort())
})

for (const [name, description] of described) {
  test(`${name} is as it was released`, () => {
    assert.equal(description, JSON.parse(readFileSync(join(schemasDir, name), "utf8")))
  })
}

test.run()
