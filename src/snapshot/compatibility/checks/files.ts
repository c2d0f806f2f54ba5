import type { MemoryFileFact, SnapshotFacts } from "../facts.ts"
import type { Finding } from "../finding.ts"
import type { SnapshotNeeds } from "../needs.ts"

/** One memory file is there, of the size that its snapshot tells. */
export const checkFile = ({ name, expectedBytes, found }: MemoryFileFact): readonly Finding[] =>
  found !== "missing" && found.size === expectedBytes
    ? []
    : [
        {
          code: "memory-file",
          severity: "blocker",
          subject: name,
          expected: `${expectedBytes} bytes`,
          actual: found === "missing" ? "not there" : `${found.size} bytes`,
          remedy: "copy the snapshot again, with all of its files",
        },
      ]

/** The memory file is there and whole. */
export const checkMemoryFile = ({ memoryFile }: SnapshotNeeds, facts: SnapshotFacts): readonly Finding[] =>
  checkFile({ name: memoryFile.name, expectedBytes: memoryFile.size, found: facts.memoryFile })
