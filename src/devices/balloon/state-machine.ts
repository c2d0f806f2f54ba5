/**
 * The balloon device as a state machine: what it wants of the guest, what the guest says, and what is under way.
 *
 * Nothing here touches a queue or a clock. `model.ts` turns what happens into events and acts on what has changed.
 */
import * as Data from "effect/Data"
import { FIRST_RUN_ID, VIRTIO_BALLOON_CMD_ID_DONE, VIRTIO_BALLOON_CMD_ID_STOP } from "./constants.ts"

/** Where free page hinting stands. `last`: the id of the last run, or 1 before the first. */
export type Hinting = Data.TaggedEnum<{
  /** No run was started since the driver is there. */
  Stopped: { readonly last: number }
  /**
   * The guest is to hint its free pages. `announced`: the driver has sent this run's id, so what it sends is of this
   * run and not of one before. `acknowledge`: let the guest have its pages back as soon as it has sent them all.
   */
  Running: { readonly command: number; readonly announced: boolean; readonly acknowledge: boolean }
  /** The guest has sent all and keeps the pages until the host says otherwise. */
  Finished: { readonly command: number }
  /** The guest may have its pages back. */
  Done: { readonly last: number }
}>
export const Hinting = Data.taggedEnum<Hinting>()

interface Common {
  /** What the host wants. Only the host changes it. */
  readonly targetPages: number
  /** What the guest says that it gave. */
  readonly actualPages: number
  /** Milliseconds from one request for statistics to the next; 0: none. */
  readonly statisticsIntervalMs: number
  readonly hinting: Hinting
}

export type BalloonState = Data.TaggedEnum<{
  /** No driver is there. The target waits for one. */
  Inactive: Common
  /**
   * A driver is there. `features`: what it took of the device's. `heldStatistics`: the buffer that the guest left for
   * the next request; giving it back is the request.
   */
  Active: Common & { readonly features: bigint; readonly heldStatistics: number | undefined }
}>
export const BalloonState = Data.taggedEnum<BalloonState>()

type Plain = Readonly<Record<never, never>>

export type BalloonEvent = Data.TaggedEnum<{
  /** The reset pin of the machine, and the beginning. */
  PoweredOn: { readonly targetPages: number; readonly statisticsIntervalMs: number }
  /** A saved state took the place of this one; `DriverReady` follows where there was a driver. */
  Restored: Common
  DriverReady: { readonly features: bigint }
  /** The driver let go of the device. */
  DriverReset: Plain
  TargetSet: { readonly pages: number }
  ActualWritten: { readonly pages: number }
  IntervalSet: { readonly milliseconds: number }
  StatisticsHeld: { readonly head: number }
  StatisticsReturned: Plain
  HintingStarted: { readonly acknowledge: boolean }
  HintingStopped: Plain
  /** The driver sent a command id through the hinting queue. */
  HintCommand: { readonly command: number }
}>
export const BalloonEvent = Data.taggedEnum<BalloonEvent>()

const neverHinted: Hinting = Hinting.Stopped({ last: FIRST_RUN_ID - 1 })

/** The state after power on. */
export const initialState = (targetPages: number, statisticsIntervalMs: number): BalloonState =>
  BalloonState.Inactive({ targetPages, actualPages: 0, statisticsIntervalMs, hinting: neverHinted })

/** The id of the last run; 1 before the first. */
export const lastRun = (hinting: Hinting): number =>
  hinting._tag === "Running" || hinting._tag === "Finished" ? hinting.command : hinting.last

/** `free_page_hint_cmd_id` as the guest reads it. */
export const hintCommandId = (hinting: Hinting): number => {
  switch (hinting._tag) {
    case "Stopped":
      return VIRTIO_BALLOON_CMD_ID_STOP
    case "Done":
      return VIRTIO_BALLOON_CMD_ID_DONE
    default:
      return hinting.command
  }
}

/** The id after `last`: 0 and 1 are no runs. */
export const nextRun = (last: number): number => (last >= 0xffffffff ? FIRST_RUN_ID : Math.max(last + 1, FIRST_RUN_ID))

/** Whether pages that the guest hints now may be discarded. */
export const acceptsHints = (state: BalloonState): boolean =>
  state._tag === "Active" && state.hinting._tag === "Running" && state.hinting.announced

/** Pages that the guest has yet to give, or to take back where it is negative. */
export const pendingPages = (state: BalloonState): number => state.targetPages - state.actualPages

const common = ({ targetPages, actualPages, statisticsIntervalMs, hinting }: Common): Common => ({
  targetPages,
  actualPages,
  statisticsIntervalMs,
  hinting,
})

const withHinting = (state: BalloonState, hinting: Hinting): BalloonState => ({ ...state, hinting })

/** The driver's word about the run: a stop for a run that it has not yet begun is of the run before. */
const hintCommand = (hinting: Hinting, command: number): Hinting => {
  if (hinting._tag !== "Running") return hinting
  if (command === hinting.command) return hinting.announced ? hinting : Hinting.Running({ ...hinting, announced: true })
  if (!hinting.announced) return hinting
  if (command !== VIRTIO_BALLOON_CMD_ID_STOP && command !== VIRTIO_BALLOON_CMD_ID_DONE) {
    return Hinting.Running({ ...hinting, announced: false })
  }
  return hinting.acknowledge ? Hinting.Done({ last: hinting.command }) : Hinting.Finished({ command: hinting.command })
}

/** The next state; the same object where an event changes nothing. */
export const step = (state: BalloonState, event: BalloonEvent): BalloonState => {
  switch (event._tag) {
    case "PoweredOn":
      return initialState(event.targetPages, event.statisticsIntervalMs)
    case "Restored":
      return BalloonState.Inactive(common(event))
    case "DriverReady":
      if (state._tag === "Active") return state
      return BalloonState.Active({ ...common(state), features: event.features, heldStatistics: undefined })
    case "DriverReset":
      if (state._tag === "Inactive" && state.actualPages === 0 && state.hinting === neverHinted) return state
      return BalloonState.Inactive({ ...common(state), actualPages: 0, hinting: neverHinted })
    case "TargetSet":
      return event.pages === state.targetPages ? state : { ...state, targetPages: event.pages }
    case "ActualWritten":
      return event.pages === state.actualPages ? state : { ...state, actualPages: event.pages }
    case "IntervalSet":
      if (event.milliseconds === state.statisticsIntervalMs) return state
      return { ...state, statisticsIntervalMs: event.milliseconds }
    case "StatisticsHeld":
      if (state._tag === "Inactive" || state.heldStatistics === event.head) return state
      return { ...state, heldStatistics: event.head }
    case "StatisticsReturned":
      if (state._tag === "Inactive" || state.heldStatistics === undefined) return state
      return { ...state, heldStatistics: undefined }
    case "HintingStarted":
      if (state._tag === "Inactive") return state
      return withHinting(
        state,
        Hinting.Running({ command: nextRun(lastRun(state.hinting)), announced: false, acknowledge: event.acknowledge }),
      )
    case "HintingStopped":
      if (state.hinting._tag === "Stopped" || state.hinting._tag === "Done") return state
      return withHinting(state, Hinting.Done({ last: state.hinting.command }))
    case "HintCommand": {
      if (state._tag === "Inactive") return state
      const hinting = hintCommand(state.hinting, event.command)
      return hinting === state.hinting ? state : withHinting(state, hinting)
    }
  }
}
