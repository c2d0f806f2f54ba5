/** Version of this package, as written into snapshots. */
import { fileURLToPath } from "node:url"
import { readJsonSync } from "fs-extra/esm"

const description = readJsonSync(fileURLToPath(new URL("../../package.json", import.meta.url))) as {
  readonly version: string
}

export const packageVersion = description.version
