"""Odd words of commands: what each ends with, and a part of what it says."""

import pytest

from tests.odd import furnish, require, run, words_of

# Exit code | command | a part of the message. 2: wrong usage; 3: bad input, in one line.
SITUATIONS = r"""
3 | train --epochs -1 | --epochs: expected a whole number >= 1, found -1
2 | train --epochs 1e3 | '--epochs'
2 | train --epochs '' | '--epochs'
2 | train --epochs ' ' | '--epochs'
2 | train --epochs 3.5 | '--epochs'
2 | train --epochs ٣ | '--epochs'
2 | train --epochs 0x10 | '--epochs'
3 | train --epochs 99999999999999999999999999 | --epochs: expected at most 1,000,000,000, found 9999999999
3 | train --batch-size 0 | --batch-size: expected a whole number >= 1, found 0
3 | train --batch-size -5 | --batch-size: expected a whole number >= 1, found -5
2 | train --batch-size nan | '--batch-size'
3 | train --lr-conv -0.1 | --lr-conv: expected a finite number >= 0, found -0.1
3 | train --lr-conv inf | --lr-conv: expected a finite number >= 0, found inf
3 | train --lr-conv -inf | --lr-conv: expected a finite number >= 0, found -inf
3 | train --lr-conv 1e400 | --lr-conv: expected a finite number >= 0, found inf
2 | train --lr-conv '' | '--lr-conv'
2 | train --lr-conv 0,1 | '--lr-conv'
3 | train --lr-fc nan | --lr-fc: expected a finite number >= 0, found nan
2 | train --lr-fc many | '--lr-fc'
3 | train --momentum 1 | --momentum: expected less than 1, found 1.0
3 | train --momentum -0.5 | --momentum: expected a finite number >= 0, found -0.5
3 | train --momentum 1e400 | --momentum: expected a finite number >= 0, found inf
3 | train --weight-decay -1 | --weight-decay: expected a finite number >= 0, found -1.0
3 | train --weight-decay inf | --weight-decay: expected a finite number >= 0, found inf
3 | train --label-smoothing 1 | --label-smoothing: expected less than 1, found 1.0
3 | train --label-smoothing -0.1 | --label-smoothing: expected a finite number >= 0, found -0.1
3 | train --label-smoothing nan | --label-smoothing: expected a finite number >= 0, found nan
3 | train --clip-norm 0 | --clip-norm: expected a finite number > 0, found 0.0
3 | train --clip-norm -1 | --clip-norm: expected a finite number > 0, found -1.0
3 | train --clip-norm nan | --clip-norm: expected a finite number > 0, found nan
3 | train --clip-norm inf | --clip-norm: expected a finite number > 0, found inf
3 | train --average -1 | --average: expected a whole number >= 0, found -1
3 | train --patience -1 | --patience: expected a whole number >= 0, found -1
3 | train --average 2 --patience 2 | --average and --patience: expected one of them, found both
3 | train --schedule '' | --schedule: expected one of constant, step, cosine, one-cycle, found nothing
3 | train --schedule Constant | --schedule: expected one of constant, step, cosine, one-cycle, found Const
3 | train --augmentation none | --augmentation: expected one of gentle, strong, found none
3 | train --settings '' | --settings: expected one of default, fast, best, found nothing
3 | train --settings BEST | --settings: expected one of default, fast, best, found BEST
3 | train --dtype float16 | --dtype: expected float32 or float64, found float16
3 | train --dtype '' | --dtype: expected float32 or float64, found nothing
3 | train --dtype FLOAT32 | --dtype: expected float32 or float64, found FLOAT32
3 | train --preset '' | --preset: expected one of article, vgg7, vgg7-wide, found nothing
3 | train --preset VGG7 | --preset: expected one of article, vgg7, vgg7-wide, found VGG7
3 | train --channels 1,2,3 | --channels: expected 4 values, found (1, 2, 3)
3 | train --channels 1,2,3,4,5 | --channels: expected 4 values, found (1, 2, 3, 4, 5)
3 | train --channels 1,2,,4 | --channels: expected whole numbers, separated by commas, found 1,2,,4
3 | train --channels ,,, | --channels: expected whole numbers, separated by commas, found ,,,
3 | train --channels 1,2,3,0 | --channels: expected whole numbers >= 1, found (1, 2, 3, 0)
3 | train --channels 1,2,3,-4 | --channels: expected whole numbers >= 1, found (1, 2, 3, -4)
3 | train --channels 1.5,2,3,4 | --channels: expected whole numbers, separated by commas, found 1.5,2,3,4
3 | train --channels '1 2 3 4' | --channels: expected whole numbers, separated by commas, found 1 2 3 4
3 | train --channels 1;2;3;4 | --channels: expected whole numbers, separated by commas, found 1;2;3;4
3 | train --channels 99999999999,1,1,1 | TB needed
3 | train --groups 1,1,1 | --groups: expected 4 values, found (1, 1, 1)
3 | train --groups 0,1,1,1 | --groups: expected whole numbers >= 1, found (0, 1, 1, 1)
3 | train --groups 2,1,1,1 | --groups: expected groups of conv1 that divide its 1 input and 16 output chan
3 | train --groups 1,3,1,1 | --groups: expected groups of conv2 that divide its 16 input and 16 output cha
3 | train --preset article --channels 3,3,3,3 | --channels: expected groups of conv4 that divide its 3 inp
3 | train --hidden 5 | --hidden: expected 2 values, found (5,)
3 | train --hidden 5,6,7 | --hidden: expected 2 values, found (5, 6, 7)
3 | train --hidden 0,5 | --hidden: expected whole numbers >= 1, found (0, 5)
3 | train --hidden '' | --hidden: expected whole numbers, separated by commas, found nothing
3 | train --hidden a,b | --hidden: expected whole numbers, separated by commas, found a,b
3 | train --hidden 10000000,10000000 | TB needed
3 | train --activations relu | --activations: expected 7 values, found ('relu',)
3 | train --activations relu,relu,relu,relu,tanh,tanh,softmax | --activations: expected each of relu, tanh
3 | train --activations '' | --activations: expected 7 values, found ('',)
3 | train --activations RELU,relu,relu,relu,tanh,tanh,tanh | --activations: expected each of relu, tanh, a
2 | train --limit 0 | '--limit'
2 | train --limit -3 | '--limit'
2 | train --limit many | '--limit'
2 | train --seed -1 | '--seed'
2 | train --seed 1.5 | '--seed'
3 | train --seed 99999999999999999999999999999999 --epochs 0 | --epochs: expected a whole number >= 1, fou
2 | train --threads 0 | '--threads'
2 | train --threads -1 | '--threads'
2 | train --threads 257 | '--threads'
2 | train --bias yes | unexpected extra argument
3 | train --no-bias --bias --epochs 0 | --epochs: expected a whole number >= 1, found 0
2 | train --epochs | '--epochs'
3 | train --epochs 1 --epochs 0 | --epochs: expected a whole number >= 1, found 0
2 | train --epoch 1 | No such option: --epoch
2 | train extra | unexpected extra argument
2 | train -x | No such option: -x
3 | train --pixel-max 0 | --pixel-max: expected a finite number > 0, found 0.0
3 | train --pixel-max -1 | --pixel-max: expected a finite number > 0, found -1.0
3 | train --pixel-max nan | --pixel-max: expected a finite number > 0, found nan
3 | train --pixel-max 1e400 | --pixel-max: expected a finite number > 0, found inf
2 | train --pixel-max white | '--pixel-max'
3 | train --std 0 --mean 0 | --std: expected a finite number > 0, found 0.0
3 | train --std -1 --mean 0 | --std: expected a finite number > 0, found -1.0
3 | train --std nan --mean 0 | --std: expected a finite number > 0, found nan
3 | train --std 1 | --std: expected both or neither, found std alone
3 | train --mean 1 | --mean: expected both or neither, found mean alone
3 | train --mean inf --std 1 | --mean: expected a finite number, found inf
3 | train --classes 0 | --classes: expected at least 2, found 0
3 | train --classes 1 | --classes: expected at least 2, found 1
3 | train --classes -2 | --classes: expected at least 2, found 1
3 | train --classes a | --classes: expected at least 2, found 1
3 | train --classes a,a | --classes: expected different names, found a, a
3 | train --classes '' | --classes: expected at least 2, found 1
3 | train --classes , | --classes: expected different names, found ,
3 | train --classes 99999999999999999999 | --classes: expected a whole number below 2,147,483,648, found 9
3 | train --classes 2.5 | --classes: expected at least 2, found 1
2 | train --labels-from -1 | '--labels-from'
2 | train --labels-from x | '--labels-from'
3 | train --labels-from 99999999999 | --labels-from: expected a whole number below 2,147,483,648, found 99
2 | train --resume run --epochs 3 | --resume: cannot be combined with --epochs
2 | train --resume run --out x | --resume: cannot be combined with --out
2 | train --resume run --seed 0 | --resume: cannot be combined with --seed
3 | train --resume '' | config.json: expected a readable config.json of a run folder, found nothing there
3 | train --config '' | .: expected a readable config.json of a run folder, found a folder
3 | train --test-data '' --data d.npz | class folders
3 | train --test-data digits --data d.npz | found 40 images of 10 classes, 4 in the rarest
3 | train --data digits --data-dir x --epochs 0 | --epochs: expected a whole number >= 1, found 0
3 | train --download --data digits --epochs 0 | --epochs: expected a whole number >= 1, found 0
2 | train --json=yes | '--json'
3 | train --quiet --quiet --epochs 0 | --epochs: expected a whole number >= 1, found 0
2 | evaluate | Missing argument 'WEIGHTS'
2 | evaluate w.safetensors w.safetensors | unexpected extra argument
3 | evaluate '' | .: expected a run folder with best.safetensors, found a folder without it
2 | evaluate w.safetensors --split '' | '--split': expected one of train, validation, test, all, found ''
2 | evaluate w.safetensors --split TEST | '--split': expected one of train, validation, test, all, found 'TE
2 | evaluate w.safetensors --split train,test | '--split': expected one of train, validation, test, all, fou
3 | evaluate w.safetensors --data d.npz --split validation | found 40 images of 10 classes, 4 in the rarest
3 | evaluate w.safetensors --data '' | class folders
3 | evaluate w.safetensors --data ' ' | found none of these; choose one
3 | evaluate w.safetensors --data , | found none of these; choose one
3 | evaluate w.safetensors --data i.npy | found 1 files; give both, as IMAGES.npy,LABELS.npy
3 | evaluate w.safetensors --data ,l.npy | .: expected a readable npy file of one plain numeric array, found
3 | evaluate w.safetensors --data i.npy,l.npy,l.npy | found 3 files; give both, as IMAGES.npy,LABELS.npy
3 | evaluate w.safetensors --data l.npy,i.npy | found shape (40,)
3 | evaluate w.safetensors --data d.NPZ | found none of these; choose one
3 | evaluate w.safetensors --data MNIST | found none of these; did you mean mnist?
3 | evaluate w.safetensors --data p.png | found none of these; choose one
3 | evaluate w.safetensors --data . | class folders
3 | evaluate w.safetensors --data https://example.org/x.npz | found nothing there
3 | evaluate w.safetensors --data d.npz --classes 3 | d.npz: labels: expected 10 classes, as the model has
3 | evaluate w.safetensors --data d.npz --labels-from 1 | d.npz: labels: expected no label below --labels-fr
3 | evaluate w.safetensors --data d.npz --pixel-max 1 | found a minimum of 0 and a maximum of 255
3 | evaluate w.safetensors --data d.npz --classes 10 --mean 0 | --mean: expected both or neither, found me
2 | evaluate w.safetensors --threads 2.5 | '--threads'
2 | evaluate w.safetensors --epochs 3 | No such option: --epochs
2 | predict | Missing argument 'WEIGHTS|IMAGE'
2 | predict w.safetensors | no image is given
2 | predict '' | no image is given
3 | predict p.png --show p.png | p.png: expected a name that is not one of the images, found one of them
3 | predict p.png --show ./p.png | p.png: expected a name that is not one of the images, found one of them
0 | predict p.png --show x.PNG | p.png: warning: the digit fills the picture
3 | predict p.png --show x | x: expected a name ending in .png, found no suffix
3 | predict p.png --show '' | .: expected a name ending in .png, found no suffix
3 | predict p.png --pixel-max 0 | --pixel-max: expected a finite number > 0, found 0.0
3 | predict w.safetensors p.PNG | p.PNG: expected a readable PNG, JPEG, WebP, BMP or TIFF image, found nothi
3 | predict w.safetensors i.npy --mean 1 | --mean: expected both or neither, found mean alone
3 | predict w.safetensors i.npy --std 1 | --std: expected both or neither, found std alone
3 | predict w.safetensors i.npy --mean 0 --std 0 | --std: expected a finite number > 0, found 0.0
3 | predict w.safetensors p.png missing.png | missing.png: expected a readable PNG, JPEG, WebP, BMP or TIFF
3 | predict w.safetensors d.npz | found something else (another format)
3 | predict w.safetensors w.safetensors | found something else (another format)
2 | predict --json | Missing argument 'WEIGHTS|IMAGE'
2 | predict w.safetensors p.png --threads 2 | No such option: --threads
2 | report | Missing argument 'RUN'
3 | report '' | config.json: expected a readable config.json of a run folder, found nothing there
3 | report . | config.json: expected a readable config.json of a run folder, found nothing there
3 | report w.safetensors | found not a directory
3 | report run run | run/config.json: expected a readable config.json of a run folder, found nothing there
2 | report --out x.html | Missing argument 'RUN'
2 | inspect | Missing argument 'WEIGHTS'
3 | inspect '' | .: expected a run folder with best.safetensors, found a folder without it
3 | inspect . | .: expected a run folder with best.safetensors, found a folder without it
3 | inspect w | w: expected a run folder or a weights file, found nothing there
2 | inspect w.safetensors --split x | No such option: --split
3 | inspect w.SAFETENSORS | w.SAFETENSORS: expected a run folder or a weights file, found nothing there
3 | inspect d.npz | d.npz: conv1.weight: expected a tensor with 4 dimensions, found no such tensor
3 | inspect p.png | found '.png'
3 | inspect i.npy | found '.npy'
2 | export | Missing argument 'WEIGHTS'
2 | export w.safetensors | Missing argument 'OUT'
3 | export w.safetensors '' | found no suffix
3 | export w.safetensors . | found no suffix
3 | export w.safetensors w | found no suffix
3 | export w.safetensors w.txt | found '.txt'
3 | export w.safetensors w.NPZ | found '.NPZ'
2 | export w.safetensors w.npz --layout x | '--layout': expected one of pytorch, keras, flax, found 'x'
2 | export w.safetensors w.npz --layout '' | '--layout': expected one of pytorch, keras, flax, found ''
2 | export w.safetensors w.pt --layout keras | --layout: only .npz files can have a layout other than pytorc
0 | export w.safetensors w.safetensors/ | wrote w.safetensors
3 | export w.safetensors o.npz --probe x | x: expected a name ending in .npz, found no suffix
2 | export w.safetensors o.npz --probe o.npz | '--probe': expected another file than OUT
3 | export w.safetensors o.npz --probe w.safetensors | w.safetensors: expected a name ending in .npz, found
2 | import | Missing argument 'FOREIGN'
2 | import w.safetensors | Missing argument 'OUT'
0 | import w.safetensors o.npz | wrote o.npz
3 | import w.safetensors o | found no suffix
3 | import w.safetensors o.safetensors --preset x | --preset: expected one of article, vgg7, vgg7-wide, fo
2 | import w.safetensors o.safetensors --preset article --activations relu | --config: give one of --preset
2 | import w.safetensors o.safetensors --activations relu | found ('relu',)
2 | import w.safetensors o.safetensors --layout x | layout: expected one of pytorch, keras, flax, found
3 | import w.safetensors o.safetensors --layout keras | w.safetensors: expected weights of another program
2 | import w.safetensors o.safetensors --flatten x | flatten: expected one of chw, hwc, found x
3 | import w.safetensors o.safetensors --map x | w.safetensors: expected weights of another program, found a
3 | import w.safetensors o.safetensors --map = | w.safetensors: expected weights of another program, found a
3 | import w.safetensors o.safetensors --map a=b | w.safetensors: expected weights of another program, found
3 | import w.safetensors o.safetensors --map '' | w.safetensors: expected weights of another program, found
2 | import w.safetensors o.safetensors --std 0 | std: expected numbers, std not 0, found 0.0, 0.0
2 | import w.safetensors o.safetensors --std nan | std: expected numbers, std not 0, found 0.0, nan
2 | import w.safetensors o.safetensors --std x | '--std'
2 | import w.safetensors o.safetensors --mean inf | mean and std: expected numbers, std not 0, found inf, 1.0
3 | import w.safetensors o.safetensors --std -1 | w.safetensors: expected weights of another program, found
3 | import d.npz o.safetensors | d.npz: conv1.weight: expected a tensor with 4 dimensions, found no such ten
3 | import i.npy o.safetensors | found '.npy'
2 | parity | check
2 | parity x | No such command 'x'
3 | parity run --preset x | --preset: expected one of article, vgg7, vgg7-wide, found x
3 | parity run --image-size 0 | --image-size: expected whole numbers >= 1, found 0
3 | parity run --image-size -4 | --image-size: expected whole numbers >= 1, found -4
3 | parity run --image-size 30 | --image-size: expected a multiple of 4, found 30
2 | parity run --image-size 2.5 | '--image-size'
2 | parity run --batch-size 0 | '--batch-size'
2 | parity run --batch-size -1 | '--batch-size'
3 | parity run --batch-size 1000000000 | TB needed
2 | parity run --seed -1 | '--seed'
2 | parity run --perturb x --image-size 4 | '--perturb': expected one of conv1.weight, conv1.bias, conv2.wei
2 | parity run w.safetensors --image-size 4 --perturb x | '--perturb': expected one of conv1.weight, conv1.b
2 | parity case | Missing argument 'FILE'
3 | parity case x.npz --image-size 4 | x.npz: expected a name ending in .safetensors, found '.npz'
3 | parity case x --image-size 4 | x: expected a name ending in .safetensors, found no suffix
3 | parity case '' --image-size 4 | .: expected a name ending in .safetensors, found no suffix
3 | parity case c.safetensors --image-size 6 | --image-size: expected a multiple of 4, found 6
2 | parity case c.safetensors --batch-size 0 | '--batch-size'
3 | parity case c.safetensors --preset x | --preset: expected one of article, vgg7, vgg7-wide, found x
3 | parity case c.safetensors --weights d.npz | d.npz: expected the metadata key numpy_vgg7 with configurati
2 | parity check | Missing argument 'FILE'
2 | parity check d.npz --dtype x | '--dtype': expected one of float32, float64, found 'x'
3 | import w.safetensors o.safetensors --config config | config: expected a readable configuration
3 | parity check d.npz --case w.safetensors | found no JSON from line 1, column 1 on; write it again
3 | parity check p.png | complete safetensors file
3 | parity check d.npz --case d.npz | complete safetensors file
2 | parity prove --only xyz | '--only': expected a part of the name of a bug, found 'xyz'
2 | parity prove --seeds 0 | '--seeds'
2 | parity prove --seeds x | '--seeds'
2 | parity prove --tests x.py --time-limit 0 | '--time-limit'
2 | parity prove --tests x.py --time-limit nan | '--time-limit'
3 | parity prove --tests '' | .: expected a readable Python file, found a folder
2 | exercise | check
2 | exercise new | Missing argument 'DIR'
3 | exercise new '' | .: expected a new or empty folder, found one that contains files
3 | exercise new . | .: expected a new or empty folder, found one that contains files
3 | exercise new w.safetensors | w.safetensors: expected a folder to write to, found not a directory
2 | exercise new e1 --seed -1 | '--seed'
2 | exercise new e2 --hint x | '--hint': expected one of none, place, words, found 'x'
2 | exercise new e3 --hint '' | '--hint': expected one of none, place, words, found ''
2 | exercise check | Missing argument 'DIR'
3 | exercise check . | network.py: expected a readable Python file, found nothing there
2 | exercise check e1 --hint x | '--hint': expected one of none, place, words, found 'x'
2 | article --epochs 0 | '--epochs'
2 | article --backprop x | '--backprop': expected one of true, published, broken, found 'x'
2 | article --backprop '' | '--backprop': expected one of true, published, broken, found ''
2 | article --seed -1 | '--seed'
3 | article --preset x | --preset: expected one of article-tuned, article-tuned-augmented, vgg7-600, found
3 | article --preset '' --data-dir gone | --preset: expected one of article-tuned, article-tuned-augmented
2 | article --preset article-tuned --epochs 3 | --preset: cannot be combined with --epochs
2 | article --preset article-tuned --backprop true | --preset: cannot be combined with --backprop
2 | article --preset article-tuned --plots x | --preset: cannot be combined with --plots
3 | article --data-dir gone | gone/t10k-images-idx3-ubyte: expected a file of mnist, with or without .gz, fo
2 | bench --threads 0 | '--threads'
2 | bench --threads 300 | '--threads'
3 | bench --cases '' | --cases: expected one of article-b1, article-b64, vgg7-b64, wide-b64, found ''
3 | bench --cases article-b1, | --cases: expected one of article-b1, article-b64, vgg7-b64, wide-b64, foun
2 | bench --peer '' | '--peer': expected one of none, torch, jax, found ''
2 | bench --peer none,x | '--peer': expected one of none, torch, jax, found 'x'
2 | bench --profile --peer torch | --profile: cannot be combined with --peer or --scaling
2 | bench --profile --scaling | --profile: cannot be combined with --peer or --scaling
3 | bench --profile --cases x | --cases: expected one of article-b1, article-b64, vgg7-b64, wide-b64, foun
2 | doctor x | unexpected extra argument
0 | doctor --quiet | numpy-vgg7
0 | --version x | numpy-vgg7 0.1.0
2 | --nope | No such option: --nope
2 | '' | No such command ''
2 | -- | Missing command.
2 | TRAIN | No such command 'TRAIN'
3 | train --batch-size 1000000001 | --batch-size: expected at most 1,000,000,000, found 1000000001
3 | train --patience 99999999999 | --patience: expected at most 1,000,000,000, found 99999999999
2 | train '--\x1b[31m' | No such option
3 | train --preset 'a\nb\u202e' | --preset: expected one of article, vgg7, vgg7-wide, found a b\u202e
2 | '\x1b[31m\n' | No such command
0 | export w.safetensors 'a\nb\x1b[1m.npz' | wrote a\nb\x1b[1m.npz
0 | export w.safetensors '  .npz' | wrote   .npz
0 | export w.safetensors '[b]é:smile:.npz' | wrote [b]é:smile:.npz
0 | inspect 'line\nend.safetensors' | line\nend.safetensors: 
0 | predict w.safetensors 'line\nend.png' | line\nend.png: 
0 | exercise new 'new\nfolder' | wrote new\nfolder/network.py
"""
ROWS = [line.split(" | ", 2) for line in SITUATIONS.strip().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd")
    furnish(path)
    return path


@pytest.mark.parametrize(("code", "line", "part"), ROWS, ids=[ascii(line) for _, line, _ in ROWS])
def test_odd_words_end_as_documented(folder, monkeypatch, capsys, code, line, part):
    monkeypatch.chdir(folder)
    require(run(words_of(line), monkeypatch, capsys), int(code), part)


def test_no_situation_is_listed_twice():
    lines = [line for _, line, _ in ROWS]
    assert len(set(lines)) == len(lines)
