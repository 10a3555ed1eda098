#!/usr/bin/env bash
# The cache in a home directory on NFS: the kernel's own server and client, versions 4.2 and 3, in a virtual machine that has
# this machine's files read-only. Needs a Debian machine, root, qemu-system-x86, busybox-static, nfs-kernel-server and nfs-common;
# Debian's kernel is downloaded by apt-get. Not part of CI: it takes five minutes, since the machine is emulated.
# SHIFTKEY names the binary.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
shiftkey=$(realpath "${SHIFTKEY:-target/debug/shiftkey}")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

cd "$place"
image=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p')
apt-get download -qq "$image" 2>/dev/null
dpkg -x ./linux-image-*.deb kernel
modules=$(echo kernel/lib/modules/*)
depmod -b kernel "$(basename "$modules")"

# What starts: modules for this machine's files over 9p, then the test.
mkdir -p start/bin start/root start/modules
cp "$(command -v busybox)" start/bin/busybox
for module in virtio_pci 9pnet_virtio 9p overlay nfsd nfsv3 nfsv4; do
    modprobe --show-depends -d kernel -S "$(basename "$modules")" "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | awk '!seen[$0]++' >order
nl -n rz -w 3 order | while read -r number file; do cp "$file" "start/modules/$number.ko"; done
cat >start/init <<INIT
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /lower /upper /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do /bin/busybox insmod \$module; done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose host /lower
/bin/busybox mount -t tmpfs upper /upper
/bin/busybox mkdir /upper/top /upper/work
/bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/top,workdir=/upper/work root /root
for it in proc sys dev run tmp; do /bin/busybox mkdir -p /root/\$it; done
/bin/busybox mount -t proc proc /root/proc
/bin/busybox mount -t sysfs sys /root/sys
/bin/busybox mount --move /dev /root/dev
/bin/busybox mount -t tmpfs run /root/run
/bin/busybox mount -t tmpfs tmp /root/tmp
/bin/busybox ip link set lo up
/bin/busybox chroot /root /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SHIFTKEY=$shiftkey bash $here/nfs_inside.sh
echo "status \$?"
/bin/busybox poweroff -f
INIT
chmod +x start/init
(cd start && find . | cpio -o -H newc --quiet | gzip -1) >start.gz
timeout 900 qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 2048 -nographic -no-reboot -nic none \
    -kernel kernel/boot/vmlinuz-* -initrd start.gz -append "console=ttyS0 quiet panic=-1" \
    -virtfs local,path=/,mount_tag=host,security_model=none,multidevs=remap,readonly=on </dev/null | tee output
grep -q '^status 0' output
