import { compareVersions } from "../compare-versions.ts"
import type { Check } from "./check.ts"

/** The cryovm there reads the format of the file. */
export const checkFormat: Check = ({ formatVersion }, { cryovm }) =>
  cryovm === null || formatVersion <= cryovm.formatVersion
    ? []
    : [
        {
          code: "format-too-new",
          severity: "blocker",
          subject: "state.cryo",
          expected: `format version ${formatVersion}`,
          actual: `up to version ${cryovm.formatVersion}`,
          remedy: "use a newer cryovm there",
        },
      ]

/** Who wrote it is no newer than who reads it; what that means is for the other checks to say. */
export const checkProducer: Check = ({ producer }, { cryovm }) =>
  cryovm === null || producer.name !== "cryovm" || compareVersions(producer.version, cryovm.version) <= 0
    ? []
    : [
        {
          code: "producer-newer",
          severity: "info",
          subject: "cryovm",
          expected: producer.version,
          actual: cryovm.version,
          remedy: "nothing, where nothing else is found",
        },
      ]
