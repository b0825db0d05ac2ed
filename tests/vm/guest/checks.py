import os,subprocess,sys
print("VM-CHECK hello ok", os.uname().release, open('/proc/uptime').read().split()[0], open('/sys/fs/cgroup/cgroup.controllers').read().strip() if os.path.exists('/sys/fs/cgroup/cgroup.controllers') else os.listdir('/sys/fs/cgroup'))
p=subprocess.run(['/vm/creel','doctor'],capture_output=True,text=True)
print(p.returncode,p.stdout,p.stderr)
print("VM-DONE checks=1 failed=0 boot=0 ",flush=True)
