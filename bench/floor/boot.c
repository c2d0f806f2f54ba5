/*
 * A Linux guest run from its first instruction until it says on its console that it is up, with a serial port and
 * nothing else: what a guest's own start takes. Accesses to anything else read as zero.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "floor.h"

enum { COM1 = 0x3f8, COM1_IRQ = 4 };
enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR, REGISTERS };
enum { IER_THRI = 2, IIR_NONE = 1, IIR_THRI = 2, IIR_FIFO = 0xc0, LCR_DLAB = 0x80, MCR_LOOP = 0x10, LSR_EMPTY = 0x60 };

struct uart {
  int vm;
  uint8_t registers[REGISTERS], divisor[2];
  bool is_empty_told; /* the interrupt of the empty transmitter is pending */
  char tail[64];      /* the last of the output */
  size_t length;
};

static void tell_empty(struct uart *uart) {
  if (!(uart->registers[IER] & IER_THRI)) return;
  uart->is_empty_told = true;
  struct kvm_irq_level line = {.irq = COM1_IRQ, .level = 1};
  must(ioctl(uart->vm, KVM_IRQ_LINE, &line), "KVM_IRQ_LINE");
  line.level = 0;
  must(ioctl(uart->vm, KVM_IRQ_LINE, &line), "KVM_IRQ_LINE");
}

static void put(struct uart *uart, char byte) {
  if (uart->length == sizeof uart->tail - 1) memmove(uart->tail, uart->tail + 1, --uart->length);
  uart->tail[uart->length++] = byte;
  uart->tail[uart->length] = 0;
}

static uint8_t read_register(struct uart *uart, int index) {
  const bool is_divisor = (uart->registers[LCR] & LCR_DLAB) != 0;
  const uint8_t modem = uart->registers[MCR];
  switch (index) {
    case DATA: return is_divisor ? uart->divisor[0] : 0;
    case IER: return is_divisor ? uart->divisor[1] : uart->registers[IER];
    case IIR_FCR: {
      const uint8_t fifo = (uart->registers[IIR_FCR] & 1) ? IIR_FIFO : 0;
      const uint8_t cause = uart->is_empty_told ? IIR_THRI : IIR_NONE;
      uart->is_empty_told = false;
      return fifo | cause;
    }
    case LSR: return LSR_EMPTY;
    case MSR: /* in loopback the four outputs come back as the four inputs */
      if (!(modem & MCR_LOOP)) return 0xb0;
      return (uint8_t)((modem & 0x0c) << 4 | (modem & 0x02) << 3 | (modem & 0x01) << 5);
    default: return uart->registers[index];
  }
}

static void write_register(struct uart *uart, int index, uint8_t value) {
  const bool is_divisor = (uart->registers[LCR] & LCR_DLAB) != 0;
  if (is_divisor && index <= IER) {
    uart->divisor[index] = value;
  } else if (index == DATA) {
    if (!(uart->registers[MCR] & MCR_LOOP)) put(uart, (char)value);
    tell_empty(uart);
  } else {
    const uint8_t before = uart->registers[index];
    uart->registers[index] = value;
    if (index == IER && !(before & IER_THRI)) tell_empty(uart);
  }
}

static void serve_port(struct uart *uart, struct kvm_run *run) {
  uint8_t *data = (uint8_t *)run + run->io.data_offset;
  const int index = run->io.port - COM1;
  const bool is_uart = run->io.port >= COM1 && index < REGISTERS && run->io.size == 1;
  for (uint32_t item = 0; item < run->io.count; item++, data += run->io.size) {
    if (run->io.direction == KVM_EXIT_IO_OUT) {
      if (is_uart) write_register(uart, index, *data);
    } else if (is_uart) {
      *data = read_register(uart, index);
    } else {
      memset(data, 0, run->io.size);
    }
  }
}

void measure_boot(const struct inputs *inputs, const char *marker) {
  struct vm vm = create_vm();
  struct uart uart = {.vm = vm.fd};
  map_memory(&vm, inputs);
  set_memory_slot(&vm, 0);
  set_vcpu_state(&vm, inputs);
  set_vm_state(&vm, inputs);
  const uint64_t start = now();
  while (strstr(uart.tail, marker) == NULL) {
    if (ioctl(vm.vcpu, KVM_RUN, 0) < 0 && errno != EINTR) fail("KVM_RUN");
    if (vm.run->exit_reason == KVM_EXIT_IO) {
      serve_port(&uart, vm.run);
    } else if (vm.run->exit_reason == KVM_EXIT_MMIO) {
      if (!vm.run->mmio.is_write) memset(vm.run->mmio.data, 0, sizeof vm.run->mmio.data);
    } else if (vm.run->exit_reason != KVM_EXIT_INTR) {
      fprintf(stderr, "floor: the guest stopped with exit reason %u\n", vm.run->exit_reason);
      exit(1);
    }
  }
  report("ready line", now() - start);
  close_vm(&vm);
}
