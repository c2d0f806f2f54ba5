/*
 * A guest that does to its memory what it is told over COM1: three bytes, an operation and a number (little endian).
 *
 *   f n   fills n MiB from 2 MiB on with numbers that do not repeat
 *   p n   writes into single pages of what it filled, so many that they take n MiB, evenly spread
 *   r n   the same in runs of 16 pages
 *
 * The next p or r begins elsewhere, so that it is other pages that it writes into.
 *
 * It answers each with one byte when it is done. Entered by the PVH note, it goes on in long mode at CPL 3, with an I/O
 * bitmap that lets it use ports: there a KVM that emulates privileged code runs it at full speed, too. It maps 4 GiB,
 * address to address.
 */
#define COM1 0x3f8
#define LSR (COM1 + 5)
#define DATA_READY 1
#define FILLED 0x200000
#define RUN 16

#define CR0_PG (1 << 31)
#define CR4_PAE (1 << 5)
#define EFER 0xc0000080
#define EFER_LME (1 << 8)

#define PAGE_OF_USER 7    /* present, writable, for CPL 3 */
#define LARGE_PAGE 0x80
#define KERNEL_CODE 0x08
#define USER_DATA 0x13
#define USER_CODE 0x1b
#define TASK 0x20

	.section .note.Xen, "a", @note
	.long 4, 4, 18          /* sizes of name and descriptor; XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start

	.text
	.code32
	.globl start
start:
	mov $task, %eax         /* the base of a descriptor lies in pieces */
	mov %ax, task_descriptor + 2
	shr $16, %eax
	mov %al, task_descriptor + 4
	mov %ah, task_descriptor + 7
	lgdt gdt_register
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov %cr0, %eax
	or $CR0_PG, %eax
	mov %eax, %cr0
	ljmp $KERNEL_CODE, $long_mode

	.code64
long_mode:
	mov $TASK, %eax
	ltr %ax
	mov $stack_end, %esp
	pushq $USER_DATA
	pushq $stack_end
	pushq $2                /* RFLAGS: nothing but the bit that is always set */
	pushq $USER_CODE
	pushq $user
	iretq

user:
	call receive
	mov %al, %bl
	call receive
	movzbl %al, %esi
	call receive
	movzbl %al, %eax
	shl $8, %eax
	or %eax, %esi           /* n */
	mov $FILLED, %edi
	cmp $'f', %bl
	je fill
	mov $1, %ebp            /* pages of a run */
	cmp $'p', %bl
	je dirty
	mov $RUN, %ebp
	cmp $'r', %bl
	je dirty
	ud2                     /* nobody asks for anything else */

fill:
	mov %esi, filled_mib
	mov %esi, %ecx
	shl $17, %rcx           /* words of 8 bytes */
	movabs $6364136223846793005, %r8
	movabs $1442695040888963407, %r9
1:	imul %r8, %rax          /* Knuth's generator: its period is 2^64 */
	add %r9, %rax
	mov %rax, (%rdi)
	add $8, %rdi
	dec %rcx
	jnz 1b
	jmp answer

dirty:
	xor %edx, %edx
	mov filled_mib, %eax
	div %esi
	mov %eax, %r8d          /* from one run to the next, in runs: as many as there are MiB filled for each written */
	mov first_run, %eax
	add $11, %eax
	xor %edx, %edx
	div %r8d
	mov %edx, first_run
	imul %ebp, %edx
	shl $12, %rdx
	add %rdx, %rdi
	imul %ebp, %r8d
	sub %ebp, %r8d
	shl $12, %r8            /* from the end of a run to the next */
	shl $8, %esi            /* pages to write into */
1:	mov %ebp, %ecx
2:	incq (%rdi)
	add $0x1000, %rdi
	dec %esi
	dec %ecx
	jnz 2b
	add %r8, %rdi
	test %esi, %esi
	jnz 1b

answer:
	mov $COM1, %edx
	mov $'k', %al
	out %al, (%dx)
	jmp user

/* Waits for a byte, for %al. Between two looks it stays in the guest for some milliseconds: a look is an exit. */
receive:
	mov $LSR, %edx
	in (%dx), %al
	test $DATA_READY, %al
	jnz 2f
	mov $0x800000, %ecx
1:	dec %ecx
	jnz 1b
	jmp receive
2:	mov $COM1, %edx
	in (%dx), %al
	ret

	.data
	.balign 4096
pml4:
	.quad directory_pointers + PAGE_OF_USER
	.balign 4096
directory_pointers:
	.quad directories + PAGE_OF_USER
	.quad directories + 0x1000 + PAGE_OF_USER
	.quad directories + 0x2000 + PAGE_OF_USER
	.quad directories + 0x3000 + PAGE_OF_USER
	.balign 4096
directories:
	.set address, 0
	.rept 4 * 512
	.quad address + LARGE_PAGE + PAGE_OF_USER
	.set address, address + 0x200000
	.endr

task:	/* 64-bit task-state segment: no stacks, for nothing interrupts, and every port allowed up to COM1's last */
	.fill 102, 1, 0
	.word io_bitmap - task
io_bitmap:
	.fill 1024 / 8, 1, 0
	.byte 0xff
task_end:

	.balign 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff        /* code, CPL 0, 64-bit */
	.quad 0x00cff3000000ffff        /* data, CPL 3 */
	.quad 0x00affb000000ffff        /* code, CPL 3, 64-bit */
task_descriptor:
	.word task_end - task - 1, 0
	.byte 0, 0x89, 0, 0
	.quad 0
gdt_register:
	.word . - gdt - 1
	.long gdt

filled_mib:
	.long 0
first_run:
	.long 0
	.balign 16
	.fill 256, 1, 0
stack_end:

	.section .note.GNU-stack, "", @progbits
