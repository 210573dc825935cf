#!/bin/sh
# The steps of workflow.yml, also to be run by hand: steps.sh learn|compare|comment|verdict
#
# LEARN        the program [learn]
# STAGING      what starts the service under learn and uses it [staging.sh beside this file]; it is called with the
#              words of learn's command line before `-- PROGRAM`
# COMMITTED    the record to compare with [learned.json beside this file]
# FAIL_ON      what new needs fail the job, as for `learn diff` [high]
# OUT          where everything is written [least-privilege]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
learn=${LEARN:-learn}
staging=${STAGING:-$here/staging.sh}
committed=${COMMITTED:-$here/learned.json}
fail_on=${FAIL_ON:-high}
out=${OUT:-least-privilege}

# Ends with 1 when there is something new at or above the threshold.
differences() {
    if [ -e "$here/accepted.toml" ]; then
        set -- "$@" --accept "$here/accepted.toml"
    fi
    "$learn" diff "$committed" "$out/staging" --fail-on "$fail_on" "$@"
}

# The same, where only a failure matters.
write() {
    status=0
    differences "$@" || status=$?
    [ "$status" -le 1 ] || exit "$status"
}

case ${1-} in
learn)
    rm -rf "$out"
    mkdir -p "$out"
    "$staging" "$learn" --quiet --fresh -o "$out/staging"
    ;;
compare)
    write --format markdown -o "$out/comment.md"
    write --format sarif -o "$out/diff.sarif"
    write --format json -o "$out/diff.json"
    cat "$out/comment.md" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
    ;;
comment)
    gh pr comment "$PULL_REQUEST" --edit-last --create-if-none --body-file "$out/comment.md"
    ;;
verdict)
    differences
    ;;
*)
    echo "usage: $0 learn|compare|comment|verdict" >&2
    exit 2
    ;;
esac
