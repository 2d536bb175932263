# docvl.bash - completion of docvl(1) for bash

_docvl_schemas() {
    docvl schema list 2>/dev/null | while read -r name _; do
        printf '%s\n' "$name"
    done
}

_docvl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local global="--model --threads --text --password --max-pages --max-bytes
        --max-pixels --max-seconds --json --quiet --help --version"
    local commands="extract read classify batch status retry quarantine journal schema watch route config model doctor"
    local command="" words="" i

    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --model | --threads | --text | --password) i=$((i + 1)) ;;
        --max-pages | --max-bytes | --max-pixels | --max-seconds) i=$((i + 1)) ;;
        batch | status | retry | quarantine | journal | extract | read | classify | schema | watch | route | config | model | doctor)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done

    case $prev in
    --model | -o) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    --threads | --password | --labels) return ;;
    --max-pages | --max-bytes | --max-pixels | --max-seconds) return ;;
    --report | --metrics-file | --journal | --lock | --config)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --include | --exclude | --since | --shard | --limit | --jobs | --memory) return ;;
    --max-time | --max-failures | --wait-lock | --older-than | --lane) return ;;
    --summary) words="auto always never" ;;
    --format) words="json jsonl csv" ;;
    --text) words="auto always never" ;;
    --schema)
        mapfile -t COMPREPLY < <(compgen -W "$(_docvl_schemas)" -- "$cur"
            compgen -f -- "$cur")
        return
        ;;
    check | show)
        if [ "$command" = config ]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return
        fi
        [ "$prev" = show ] && [ "$command" = schema ] && words=$(_docvl_schemas)
        ;;
    esac
    if [ -n "$words" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
        return
    fi

    case $command in
    "") words="$commands $global" ;;
    extract) words="--schema --auto -o --format --plain $global" ;;
    read) words="--boxes $global" ;;
    classify) words="--labels $global" ;;
    batch)
        words="-o --beside --schema --auto --labels --format --plain --recursive --include
            --exclude --from0 --since --shard --limit --jobs --memory --max-time --fail-fast
            --max-failures --force --dry-run --report --summary --metrics-file --journal
            --lock --wait-lock --config $global"
        ;;
    status | retry) words="--journal -o --lane --all $global" ;;
    quarantine)
        words="--journal -o --lane --all $global"
        [ "$prev" = quarantine ] && words="list show release forget"
        ;;
    journal)
        words="--journal -o --lane --older-than $global"
        [ "$prev" = journal ] && words="export prune"
        ;;
    schema) [ "$prev" = schema ] && words="list show check" || words=$global ;;
    watch) words=$global ;;
    route) words="--explain --dry-run --test --force --document $global" ;;
    config) [ "$prev" = config ] && words="check show keys" || words=$global ;;
    model) [ "$prev" = model ] && words="info" || words=$global ;;
    doctor) words=$global ;;
    esac
    if [[ $cur == -* || $command == "" || $prev == schema || $prev == quarantine ||
        $prev == journal || $prev == config || $prev == model ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}

complete -o filenames -F _docvl docvl
