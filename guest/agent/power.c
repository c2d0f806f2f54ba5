#include "agent.h"

#include <sys/reboot.h>
#include <unistd.h>

/*
 * reboot() does not sync. A restart ends in whatever `reboot=` of the kernel
 * command line says; a halt in nothing that anybody would hear of.
 */
void power_off(int how)
{
	sync();
	reboot(how == 0 ? RB_AUTOBOOT : RB_HALT_SYSTEM);
}
