/** A `state.cryo` with right digests around any bytes: of another version, or by an attacker. */
import { type Lineage, writeHeader } from "../../src/state/envelope-header.ts"

const ID = "0b0f3a52-8f3b-4c8e-9d46-0d9a3f0c2b11"

export const forgeState = (
  formatVersion: number,
  manifest: Uint8Array,
  sections: Uint8Array,
  digests = new Uint8Array(0),
  lineage: Lineage = { id: ID, parent: null },
): Buffer => {
  const header = writeHeader({ formatVersion, manifest, sections, digests, lineage })
  return Buffer.concat([header, manifest, sections, digests])
}
