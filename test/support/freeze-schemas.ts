/**
 * Freezes the schemas that are new: `node dist/test/support/freeze-schemas.js`, once, when a version is released.
 * What is frozen already is never written again.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { schemasDir, schemasOfThisRelease } from "./frozen.ts"

mkdirSync(schemasDir, { recursive: true })
for (const [name, description] of schemasOfThisRelease()) {
  try {
    writeFileSync(join(schemasDir, name), `${JSON.stringify(description, undefined, 1)}\n`, { flag: "wx" })
    console.log(`frozen: ${name}`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
  }
}
