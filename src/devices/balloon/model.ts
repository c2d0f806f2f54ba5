/**
 * Traditional memory balloon device, virtio 1.2 section 5.5: the host asks the guest to give memory back, and the guest
 * tells what it has. What it is about is in `state-machine.ts`; here are its queues, its timer and its memory.
 *
 * Every buffer that the guest gives comes back, whatever is in it. What makes no sense is counted.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as PubSub from "effect/PubSub"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Discard } from "../../memory/discard.ts"
import { type AccessLength, DeviceStateRefused, type VirtioResources } from "../device.ts"
import type { ResetCause, VirtioHost, VirtioModel } from "../virtio/device.ts"
import { makeVirtioMmio, type VirtioDevice } from "../virtio/mmio.ts"
import type { Virtqueue } from "../virtio/queue.ts"
import { readConfigSpace, writtenActual } from "./config-space.ts"
import {
  BALLOON_PAGE_SIZE,
  DEVICE_TYPE_BALLOON,
  VIRTIO_BALLOON_CMD_ID_DONE,
  VIRTIO_BALLOON_F_STATS_VQ,
} from "./constants.ts"
import { type Balloon, makeBalloonControl } from "./control.ts"
import { commandOf } from "./hinting.ts"
import { collectChain, PfnCollector } from "./inflate.ts"
import { type BalloonMetrics, makeBalloonMetrics } from "./metrics.ts"
import { type BalloonOptions, featuresOf, type QueueRole, queueSizes, rolesOf } from "./offer.ts"
import { PageRanges } from "./page-ranges.ts"
import { collectReports } from "./reporting.ts"
import { type BalloonV2, balloonComponent } from "./state.ts"
import {
  acceptsHints,
  BalloonEvent,
  type BalloonState,
  Hinting,
  hintCommandId,
  initialState,
  lastRun,
  step,
} from "./state-machine.ts"
import { type BalloonStatistics, StatisticsValues } from "./statistics.ts"

/** Readings that a slow reader of the statistics stream may be behind. */
const STATISTICS_KEPT = 64

export interface BalloonResources extends VirtioResources {
  readonly discard: Discard
}

/** The balloon device. */
export interface BalloonDevice extends VirtioDevice<BalloonV2> {
  readonly metrics: Readonly<BalloonMetrics>
  /** What the machine's owner does with it. */
  readonly balloon: Balloon
}

/** What of the world a model needs besides its host. */
interface Surroundings {
  readonly discard: Discard
  readonly stateRef: SubscriptionRef.SubscriptionRef<BalloonState>
  readonly readings: PubSub.PubSub<BalloonStatistics>
  /** Runs an effect with the clock of whoever made the device. */
  readonly fork: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>
}

/** Behaviour of the device. Used by `control.ts`, which checks what it is asked for; not for anybody else. */
export class BalloonModel implements VirtioModel<BalloonV2> {
  readonly deviceType = DEVICE_TYPE_BALLOON
  readonly features: bigint
  readonly queueMaxSizes: readonly number[]
  readonly synchronousQueues: readonly number[]
  readonly metrics: BalloonMetrics = makeBalloonMetrics()
  readonly statistics = new StatisticsValues()
  readonly id: string
  readonly memoryBytes: number
  state: BalloonState
  closed = false
  readonly stateRef: SubscriptionRef.SubscriptionRef<BalloonState>
  readonly readings: PubSub.PubSub<BalloonStatistics>
  readonly #host: VirtioHost
  readonly #around: Surroundings
  readonly #initial: BalloonState
  readonly #roles: readonly QueueRole[]
  readonly #statisticsQueue: number
  readonly #collector = new PfnCollector()
  readonly #ranges = new PageRanges()
  readonly #watchers = new Set<() => void>()
  #queues: readonly Virtqueue[] = []
  #timer: Fiber.Fiber<unknown> | undefined
  /** A request for statistics could not be made while the machine was paused. */
  #requestDue = false
  /** The configuration changed while nobody could be told. */
  #announceDue = false
  #restoredHeld: number | undefined

  constructor(host: VirtioHost, around: Surroundings, options: BalloonOptions, initial: BalloonState) {
    this.#host = host
    this.#around = around
    this.id = host.id
    this.memoryBytes = host.memory.size
    this.stateRef = around.stateRef
    this.readings = around.readings
    this.#initial = initial
    this.state = initial
    this.features = featuresOf(options)
    this.#roles = rolesOf(options)
    this.queueMaxSizes = this.#roles.map((role) => queueSizes[role])
    this.synchronousQueues = this.#roles.flatMap((role, index) => (role === "hinting" ? [index] : []))
    this.#statisticsQueue = this.#roles.indexOf("statistics")
  }

  process(index: number, queue: Virtqueue, budget: number): boolean {
    switch (this.#roles[index]) {
      case "inflate":
        return this.#inflate(queue, budget)
      case "deflate":
        return this.#deflate(queue, budget)
      case "statistics":
        return this.#readStatistics(queue, budget)
      case "hinting":
        return this.#hints(queue, budget)
      case "reporting":
        return this.#reports(queue, budget)
      default:
        return false
    }
  }

  readConfig(offset: number, length: AccessLength): number {
    return readConfigSpace(this.state, offset, length)
  }

  writeConfig(offset: number, length: AccessLength, value: number): void {
    const pages = writtenActual(this.state, offset, length, value)
    if (pages === undefined) this.metrics.configWritesIgnored++
    else this.#move(BalloonEvent.ActualWritten({ pages }))
  }

  activate(queues: readonly Virtqueue[], features: bigint): void {
    this.#queues = queues
    this.#move(BalloonEvent.DriverReady({ features }))
    const held = this.#restoredHeld
    this.#restoredHeld = undefined
    const queue = queues[this.#statisticsQueue]
    // Only what was taken can be given back.
    const outstanding = queue !== undefined && queue.nextAvail !== queue.nextUsed
    if (held !== undefined && outstanding && held < queue.size) this.#move(BalloonEvent.StatisticsHeld({ head: held }))
    this.#arm()
  }

  /** The target stays: a driver that comes back finds it. */
  reset(cause: ResetCause): void {
    this.#disarm()
    this.#queues = []
    this.#requestDue = this.#announceDue = false
    this.#restoredHeld = undefined
    this.statistics.clear()
    const { targetPages, statisticsIntervalMs } = this.#initial
    this.#move(
      cause === "driver" ? BalloonEvent.DriverReset() : BalloonEvent.PoweredOn({ targetPages, statisticsIntervalMs }),
    )
  }

  kick(): void {
    if (this.#announceDue) this.#host.configChanged()
    this.#announceDue = false
    if (this.#requestDue) this.requestStatistics()
  }

  save(): BalloonV2 {
    const { state, statistics } = this
    return {
      targetPages: state.targetPages,
      actualPages: state.actualPages,
      statisticsIntervalMs: state.statisticsIntervalMs,
      statistics: statistics.known(),
      heldStatistics: (state._tag === "Active" ? state.heldStatistics : undefined) ?? null,
      hintCommand: hintCommandId(state.hinting),
      unknownStatistics: statistics.unknown(),
      lastHintCommand: lastRun(state.hinting),
    }
  }

  restore(saved: BalloonV2): Effect.Effect<void, DeviceStateRefused> {
    return Effect.suspend(() => {
      const pages = this.memoryBytes / BALLOON_PAGE_SIZE
      const refuse = (reason: string) =>
        Effect.fail(new DeviceStateRefused({ message: `${this.id}: ${reason}`, device: this.id }))
      if (saved.targetPages > pages) return refuse(`the target is ${saved.targetPages} pages, of a memory of ${pages}`)
      const last = saved.lastHintCommand
      if (last === 0 || (saved.hintCommand > VIRTIO_BALLOON_CMD_ID_DONE && saved.hintCommand !== last)) {
        return refuse(`the last run of hinting was ${last}, yet the command is ${saved.hintCommand}`)
      }
      this.#disarm()
      this.statistics.load(saved.statistics, saved.unknownStatistics)
      this.#restoredHeld = saved.heldStatistics ?? undefined
      const hinting = saved.hintCommand === 0 ? Hinting.Stopped({ last }) : Hinting.Done({ last })
      this.#announceDue = saved.hintCommand > VIRTIO_BALLOON_CMD_ID_DONE
      // What is known of the guest's memory is of another time.
      this.#requestDue = saved.statisticsIntervalMs > 0
      const { targetPages, actualPages, statisticsIntervalMs } = saved
      this.#move(BalloonEvent.Restored({ targetPages, actualPages, statisticsIntervalMs, hinting }))
      return Effect.void
    })
  }

  close(): void {
    this.closed = true
    this.#disarm()
    this.#tellWatchers()
  }

  /** Calls back after every change of the state, every reading of statistics, and the end. Returns the way to end it. */
  watch(watcher: () => void): () => void {
    const own = () => watcher()
    this.#watchers.add(own)
    return () => {
      this.#watchers.delete(own)
    }
  }

  setTarget(pages: number): void {
    if (this.#move(BalloonEvent.TargetSet({ pages }))) this.#host.configChanged()
  }

  /** Asks for a reading at once where there is polling, and polls in the new rhythm from now on. */
  setInterval(milliseconds: number): void {
    if (!this.#move(BalloonEvent.IntervalSet({ milliseconds }))) return
    if (milliseconds > 0) this.requestStatistics()
    this.#arm()
  }

  startHinting(acknowledge: boolean): void {
    if (this.#move(BalloonEvent.HintingStarted({ acknowledge }))) this.#host.configChanged()
  }

  stopHinting(): void {
    if (this.#move(BalloonEvent.HintingStopped())) this.#host.configChanged()
  }

  /** Gives the held buffer back, by which the guest sends another; as soon as the machine runs, where it does not. */
  requestStatistics(): void {
    if (!this.#host.live(this.#statisticsQueue)) {
      this.#requestDue = this.state._tag === "Active"
      return
    }
    this.#requestDue = false
    const queue = this.#queues[this.#statisticsQueue]
    if (queue === undefined || !this.#returnStatistics(queue)) return
    this.metrics.statisticsRequests++
    this.#host.flush(this.#statisticsQueue)
  }

  /** Whether a feature was offered, and whether the driver took it; the latter is unknown while there is none. */
  feature(bit: bigint): { readonly offered: boolean; readonly taken: boolean | undefined } {
    const taken = this.state._tag === "Active" ? (this.state.features & bit) !== 0n : undefined
    return { offered: (this.features & bit) !== 0n, taken }
  }

  #inflate(queue: Virtqueue, budget: number): boolean {
    const collector = this.#collector
    const heads: number[] = []
    let more = true
    collector.clear()
    for (let left = budget; left > 0; left--) {
      const head = queue.pop()
      if (head < 0) {
        more = false
        break
      }
      const before = collector.length
      if (!collector.fits(queue.readableBytes) && before > 0) {
        queue.undoPop()
        break
      }
      if (!collectChain(queue, this.#host.memory, collector)) this.metrics.oddBuffers++
      this.metrics.inflatePages += collector.length - before
      heads.push(head)
    }
    this.metrics.inflateBuffers += heads.length
    if (collector.length > 0) this.metrics.inflateRanges += this.#discard(collector.ranges())
    for (const head of heads) queue.push(head, 0)
    return more
  }

  /** The pages are the guest's to use: they come back as it touches them. */
  #deflate(queue: Virtqueue, budget: number): boolean {
    for (let left = budget; left > 0; left--) {
      const head = queue.pop()
      if (head < 0) return false
      this.metrics.deflateBuffers++
      this.metrics.deflatePages += Math.floor(queue.readableBytes / 4)
      if (queue.readableBytes === 0 || queue.readableBytes % 4 !== 0) this.metrics.oddBuffers++
      queue.push(head, 0)
    }
    return true
  }

  #readStatistics(queue: Virtqueue, budget: number): boolean {
    for (let left = budget; left > 0; left--) {
      const head = queue.pop()
      if (head < 0) return false
      const { values, unknownTags, malformed } = this.statistics.read(queue, this.#host.memory)
      this.metrics.statisticsUnknownTags += unknownTags
      if (malformed) this.metrics.statisticsMalformed++
      if (this.#returnStatistics(queue)) this.metrics.statisticsSurplus++
      this.#move(BalloonEvent.StatisticsHeld({ head }))
      if (values > 0) this.#tellReading()
    }
    return true
  }

  #hints(queue: Virtqueue, budget: number): boolean {
    const heads: number[] = []
    let more = true
    for (let left = budget; left > 0; left--) {
      const head = queue.pop()
      if (head < 0) {
        more = false
        break
      }
      heads.push(head)
      const command = commandOf(queue, this.#host.memory)
      if (command !== undefined) this.#hintCommand(command)
      const named = queue.segments - queue.readableSegments
      if (command === undefined && named === 0) this.metrics.oddBuffers++
      if (named === 0) continue
      if (acceptsHints(this.state)) {
        this.metrics.hintedRanges += named
        this.#ranges.addWritable(queue)
      } else this.metrics.hintedIgnored += named
    }
    this.#discardRanges()
    for (const head of heads) queue.push(head, 0)
    return more
  }

  #reports(queue: Virtqueue, budget: number): boolean {
    const heads: number[] = []
    const more = collectReports(queue, this.#ranges, heads, this.metrics, budget)
    this.#discardRanges()
    for (const head of heads) queue.push(head, 0)
    return more
  }

  #hintCommand(command: number): void {
    this.metrics.hintCommands++
    const before = hintCommandId(this.state.hinting)
    this.#move(BalloonEvent.HintCommand({ command }))
    if (hintCommandId(this.state.hinting) !== before) this.#host.configChanged()
  }

  #discardRanges(): void {
    if (this.#ranges.length > 0) this.#discard(this.#ranges.take())
  }

  /** Returns how many ranges. */
  #discard(ranges: Float64Array): number {
    const result = this.#around.discard(ranges)
    this.metrics.discardedBytes += result.discardedBytes
    this.metrics.zeroedBytes += result.zeroedBytes
    this.metrics.outsideBytes += result.outsideBytes
    this.metrics.failedBytes += result.failedBytes
    if (result.failure !== undefined) this.metrics.lastFailure = result.failure
    return ranges.length / 2
  }

  #returnStatistics(queue: Virtqueue): boolean {
    const held = this.state._tag === "Active" ? this.state.heldStatistics : undefined
    if (held === undefined) return false
    queue.push(held, 0)
    this.#move(BalloonEvent.StatisticsReturned())
    return true
  }

  #tellReading(): void {
    this.metrics.statisticsReadings++
    const latest = this.statistics.latest()
    if (latest !== undefined) PubSub.publishUnsafe(this.readings, latest)
    this.#tellWatchers()
  }

  #tellWatchers(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }

  /** Returns whether anything changed. */
  #move(event: BalloonEvent): boolean {
    const next = step(this.state, event)
    if (next === this.state) return false
    this.state = next
    Effect.runSync(SubscriptionRef.set(this.stateRef, next))
    this.#tellWatchers()
    return true
  }

  #arm(): void {
    this.#disarm()
    const { state } = this
    const interval = state.statisticsIntervalMs
    if (state._tag === "Inactive" || interval === 0 || (state.features & VIRTIO_BALLOON_F_STATS_VQ) === 0n) return
    this.#timer = this.#around.fork(
      Effect.sync(() => this.requestStatistics()).pipe(
        Effect.repeat(Schedule.spaced(interval)),
        Effect.delay(interval),
        Effect.tapCause((cause) => Effect.logError(`the statistics timer of ${this.id} died`, cause)),
      ),
    )
  }

  #disarm(): void {
    this.#timer?.interruptUnsafe()
    this.#timer = undefined
  }
}

/** Makes a balloon device. */
export const makeBalloon = (
  resources: BalloonResources,
  options: BalloonOptions = {},
): Effect.Effect<BalloonDevice, never, Scope.Scope> =>
  Effect.gen(function* () {
    const initial = initialState(options.targetPages ?? 0, options.statisticsIntervalMs ?? 0)
    const stateRef = yield* SubscriptionRef.make<BalloonState>(initial)
    const readings = yield* PubSub.sliding<BalloonStatistics>(STATISTICS_KEPT)
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const around: Surroundings = { discard: resources.discard, stateRef, readings, fork }
    const { device, model } = yield* makeVirtioMmio(
      options.id ?? "balloon0",
      balloonComponent,
      resources,
      (host) => new BalloonModel(host, around, options, initial),
    )
    yield* Effect.addFinalizer(() => Effect.sync(() => model.close()).pipe(Effect.andThen(PubSub.shutdown(readings))))
    return { ...device, metrics: model.metrics, balloon: makeBalloonControl(model) }
  })
