#!/usr/bin/env bash
# Training on a machine that is held for a while only: started once, detached, then waited for in pieces; every piece brings
# the weights back.
#   pieces.sh start SECONDS TRAIN_ARGS…   start training that ends by itself after SECONDS, then wait 560 s
#   pieces.sh wait [SECONDS]              wait on (570 s, less when training ends), copy weights and log to $OUT
# Chain the calls at once, and give the last one time to finish. Exit 3: training is not there (a fresh machine): start again
# with --resume.
set -u
dir=/tmp/train
case ${1:-} in
start)
    if [ -s $dir/pid ] && [ -s $dir/out/log ]; then secs=${WAIT:-560}; else
    rm -rf $dir; cp -r "$(dirname "$0")" $dir; mkdir -p $dir/out; cd $dir || exit 1
    PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=1 setsid nohup python3 train.py --limit "$2" "${@:3}" --out $dir/out >$dir/out/log 2>&1 </dev/null &
    echo $! >$dir/pid; secs=560; fi ;;
wait) secs=${2:-570} ;;
*) sed -n 2,7p "$0"; exit 1 ;;
esac
[ -s $dir/pid ] || exit 3
pid=$(cat $dir/pid); end=$(($(date +%s) + secs))
while [ "$(date +%s)" -lt $end ] && kill -0 "$pid" 2>/dev/null; do sleep 3; done
kill -0 "$pid" 2>/dev/null && state=running || state=ended
cp $dir/out/* "${OUT:-/tmp}"/ 2>/dev/null
grep -E "step [0-9]*[05]00 |EVAL|resumed|saved|GiB" $dir/out/log | tail -12 | cut -c1-420; tail -n 1 $dir/out/log | cut -c1-300; echo "training $state"
