/** Version of this package, as written into snapshots. */
import { readFileSync } from "node:fs"

const description = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly version: string
}

export const packageVersion = description.version
