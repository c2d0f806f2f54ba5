/**
 * Page tables for a kernel that is entered in long mode: the first GiB, address to address, in pages of 2 MiB (Intel SDM,
 * volume 3, section "4-Level Paging").
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import { IDENTITY_MAPPED, PAGE_DIRECTORY_ADDRESS, PAGE_SIZE, PDPT_ADDRESS, PML4_ADDRESS } from "../layout.ts"
import { bootStructure } from "./boot-memory.ts"

const PRESENT = 1
const WRITABLE = 2
/** In a page directory: the entry is a page of 2 MiB. */
const PAGE_SIZE_BIT = 0x80
const LARGE_PAGE = 0x20_0000

/** Writes the three tables, into memory that is still zero. */
export const writePageTables = (memory: GuestMemory): void => {
  const table = PRESENT | WRITABLE
  bootStructure(memory, PML4_ADDRESS, 8).setBigUint64(0, BigInt(PDPT_ADDRESS | table), true)
  bootStructure(memory, PDPT_ADDRESS, 8).setBigUint64(0, BigInt(PAGE_DIRECTORY_ADDRESS | table), true)
  const directory = bootStructure(memory, PAGE_DIRECTORY_ADDRESS, PAGE_SIZE)
  for (let index = 0; index < IDENTITY_MAPPED / LARGE_PAGE; index++) {
    directory.setBigUint64(index * 8, BigInt(index * LARGE_PAGE + (table | PAGE_SIZE_BIT)), true)
  }
}
