/** What a snapshot needs, as JSON. */
import { formatDocument, parseDocument } from "../../state/document.ts"
import { type SnapshotNeeds, snapshotNeedsComponent } from "./needs.ts"

/** JSON that {@link parseSnapshotNeeds} of this and every later release reads. */
export const formatSnapshotNeeds = (needs: SnapshotNeeds): string => formatDocument(snapshotNeedsComponent, needs)

/**
 * Reads what {@link formatSnapshotNeeds} wrote.
 * @throws DocumentInvalid, StateInvalid, StateVersionUnsupported
 */
export const parseSnapshotNeeds = (text: string): SnapshotNeeds => parseDocument(snapshotNeedsComponent, text)
