# docvl.fish - completion of docvl(1) for fish

function __docvl_schemas
    docvl schema list 2>/dev/null | string replace -r '\s.*' ''
end

set -l commands extract read classify schema watch config model doctor
set -l none "not __fish_seen_subcommand_from $commands"

complete -c docvl -l model -r -a '(__fish_complete_directories)' -d 'Folder of the model'
complete -c docvl -l threads -x -d 'Threads for the model'
complete -c docvl -l text -x -a 'auto always never' -d 'Use of the text layer'
complete -c docvl -l password -x -d 'Password for encrypted files'
complete -c docvl -l max-pages -x -d 'Pages of a document'
complete -c docvl -l max-bytes -x -d 'Size of a file'
complete -c docvl -l max-pixels -x -d 'Pixels of a page'
complete -c docvl -l max-seconds -x -d 'Time for one request to the decoder'
complete -c docvl -l json -d 'Write log lines as JSON'
complete -c docvl -l quiet -d 'Log errors only'
complete -c docvl -l help -d 'Show help'
complete -c docvl -l version -d 'Show the version'

complete -c docvl -n $none -f -a extract -d 'Write the values that a schema asks for'
complete -c docvl -n $none -f -a read -d 'Write the text of documents'
complete -c docvl -n $none -f -a classify -d 'Say what kind of document it is'
complete -c docvl -n $none -f -a schema -d 'List, show or check schemas'
complete -c docvl -n $none -f -a watch -d 'Look after folders'
complete -c docvl -n $none -f -a config -d 'Check or show configuration files'
complete -c docvl -n $none -f -a model -d 'Describe the model'
complete -c docvl -n $none -f -a doctor -d 'Check the installation'

set -l extract '__fish_seen_subcommand_from extract'
complete -c docvl -n $extract -l schema -r -a '(__docvl_schemas)' -d Schema
complete -c docvl -n $extract -l auto -d 'Classify first'
complete -c docvl -n $extract -s o -r -a '(__fish_complete_directories)' -d 'Folder for results'
complete -c docvl -n $extract -l format -x -a 'json jsonl csv' -d 'Form of the output'
complete -c docvl -n $extract -l plain -d 'Values alone'

complete -c docvl -n '__fish_seen_subcommand_from read' -l boxes -d 'Words with their boxes'
complete -c docvl -n '__fish_seen_subcommand_from classify' -l labels -x -d 'Kinds to choose from'

set -l actions 'not __fish_seen_subcommand_from list show check'
complete -c docvl -n "__fish_seen_subcommand_from schema; and $actions" -f -a 'list show check'
complete -c docvl -n '__fish_seen_subcommand_from show' -f -a '(__docvl_schemas)'
complete -c docvl -n '__fish_seen_subcommand_from model' -f -a info
complete -c docvl -n '__fish_seen_subcommand_from config' -f -a 'check show keys'
complete -c docvl -n '__fish_seen_subcommand_from config' -F
