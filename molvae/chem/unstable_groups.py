"""Groups that do not survive on a shelf or in water, or cannot be made: the catalog `UNSTABLE`.

Fewer than 8 % of the molecules of ZINC250k have any of them, and no single group is in more than
2 %; tests check both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_NOT_ACYL = "!$(N-C=[O,S,N]);!$(N-S=O);!$(N-a)"  # of a nitrogen: its lone pair is free
_NO_HETERO = "!$(C[#7,#8,#16])"
"""Condition on an imine's carbon: no amidine, imidate or the like."""
_NO_ACCEPTOR = "!$(C[C,S]=[O,N]);!$(CC#N);!$(C[N+]=O)"
"""Condition on an alkene's carbon: nothing draws electrons, so no vinylogous amide or acid."""
_AMINE = "NX3,NX4"  # a nitrogen with or without a charge
_ACYL = "$(N-C=[O,S]),$(N-S(=O)=O);!$(N-a)"  # of a nitrogen: an amide or sulfonamide


def _bridged(start: str, most: int) -> str:
    """Bridged bicycles of at most so many atoms, whose bridgehead and its neighbor are given."""
    sizes = range(1, most - 2)
    return ",".join(
        f"$({start}{'~*' * (own - 1)}~*({'~*' * large}1){'~*' * small}2)"
        for own in sizes
        for large in sizes
        for small in range(1, large + 1)
        if own + large + small <= most - 2
    )


UNSTABLE: Mapping[str, str] = MappingProxyType(
    {
        # Two heteroatoms with lone pairs in a row
        "peroxide": "[#8X2,#8X1-][#8X2]",
        "polysulfide": "[SX2][SX2][SX2]",
        "acyclic disulfide": "[SX2;!R][SX2;!R]",
        "thiosulfinate or thiosulfonate": "[SX2][SX3,SX4]=O",
        "sulfur-sulfur double bond": "[#16]=[#16]",
        "sulfenic acid, ester or amide": "[SX2;!R][OX2,NX3;!$(N=*);!$(NS(=O)=O)]",
        "sulfinamide": "[SX3](=O)[NX3]",
        "oxygen-sulfur single bond": "[OX2;!$(OS(=O)=O)][SX2,SX3]",
        "sulfinic acid": "[SX3](=O)[OX2H,OX1-]",
        "sulfine or sulfene": "[#6]=[SX2,SX3,SX4]=[OX1]",
        "sulfur diimide": "[#7]=[#16X2]=[#7,#8]",
        "acyl sulfone or sulfoxide": "[CX3](=O)[SX3,SX4]=O",
        "three nitrogens in a row": "[#7;!a]~[#7;!a]~[#7;!a]",
        "three heteroatoms in a row": "[#7,#8,SX2;!a;!+]-[#7,#8,SX2;!a;!+]-[#7,#8,#16;!a;!+]",
        "azo beside a heteroatom": "[NX2]=[NX2;!R][!#6]",
        "aliphatic azo": "[CX4][NX2]=[NX2][#6]",
        "acyl or alkenyl azo": "[$([CX3]=[O,N,C])][NX2]=[NX2]",
        "diazene": "[NX2H]=[NX2]",
        "diazo or diazonium": "[$([#6]=[NX2+]=[NX1-]),$([NX2+]#[NX1])]",
        "azide": "[NX2]=[NX2+]=[NX1-]",
        "alkyl hydrazine": f"[NX3H2][NX3;{_NOT_ACYL}]",
        "dialkyl hydrazine": f"[NX3H1,NX3H0;!R;{_NOT_ACYL}][NX3;!R;{_NOT_ACYL}]",
        "N-amino azine": "[NX3][n;r6]",
        "acyclic hydrazone": "[NX3;!R][NX2;!R]=[CX3;!R;!$(C[#7,#8,#16])]",
        "unsubstituted hydrazone": "[NX3H2][NX2]=[#6]",
        "ammonium beside nitrogen or oxygen": "[NX4+;!$(N[O-])][#7,#8]",
        "protonated aniline, amide or trifluoroethylamine": "[$([NX4+;!H0]-a),"
        "$([NX4+]-[C,S,P]=[O,N,S]),$([NX4+;!H0]CC(F)(F)F)]",
        "protonated azole or azine that is not basic": "[$([nH+]:[n,o]),$([nH+]:a:[o,s]),"
        "$([nH+]:a=O),$([nH+]:a:a=O),$([nH+]:a:a:a=O),$([nH+]:a-[F,Cl,Br,$(C(F)F),$(C#N),$(N=O)]),"
        "$([nH+]1:n:a:a:a:a1),$([nH+]1:a:n:a:a:a1),$([nH+]1:a:a:n:a:a1);"
        "!$([nH+]:*-[#7X3+0]);!$([nH+]:*:*:*-[#7X3+0])]",
        "anion of a weakly acidic azole or amide": "[$([n-]),$([N-]C=[O,N,S]);"
        "!$([n-]:n:n);!$([n-]:a:n:n);!$([N-](C=O)[C,S]=O);!$([N-]=*)]",
        "nitroso": "[NX2,NX3+;!$(N[O-])]=[OX1]",
        "nitrite or nitrate ester": "[OX2][$(N=O),$([N+](=O)[O-])]",
        "nitramine": "[#7][N+](=O)[O-]",
        "nitroalkyl amine or ether": "[NX3,OX2][CX4][N+](=O)[O-]",
        "nitrile oxide": "[CX2]#[NX2+][OX1-]",
        "two heteroatoms on oxygen": "[NX3,OX2;!a][OX2][NX3,OX2;!a]",
        "acyloxyamine": "[NX3;!$(N-C=O)][OX2][CX3]=[OX1]",
        "diacyl hydroxylamine": "[CX3](=O)[OX2][NX3][CX3]=[OX1]",
        "O-unsubstituted hydroxylamine": "[NX3H2][OX2]",
        "O-aryl hydroxylamine or oxime": "[NX3,NX2;!a][OX2]a",
        "N-oxyazole": "[OX2][n;r5]",
        "O-alkyl hydroxylamine": f"[NX3;{_NOT_ACYL}][OX2]",
        "aliphatic nitro": "[CX4][N+](=O)[O-]",
        "acyloxyimine": "[CX3](=O)[OX2][NX2]=[CX3]",
        "N-hydroxyamine": "[NX3;!$(N-C=[O,S,N]);!$(N-S=O)][OX2H]",
        "phosphorus-phosphorus bond": "[#15][#15]",
        "phosphorus with hydrogen": "[#15;!H0]",
        "trivalent phosphorus": "[PX1,PX2,$([PX3;!$(P=O)])]",
        "silane with hydrogen": "[SiH,SiH2,SiH3]",
        "phosphorane or metaphosphate": "[$([PX4]=[#6,N;!a]),$([PX5]),$([PX3](=O)=O)]",
        "sulfur-nitrogen double bond": "[#16;!$(S=O)]=[#7]",
        "sulfonic anhydride": "S(=O)(=O)OS",
        "azine of carbonyls": "[#6]=[NX2;!R][NX2;!R]=[#6]",
        "N-unsubstituted pyrazoline": "[NX3H1;R][NX2;R]=[CX3;!$(C[#7,#8,#16])]",
        "nitrogen-rich ring": "[$(n1:n:n:n:n1),$(c1:n:n:c:n:n1),$([o,s]:n:n:n),$(n:[o,s]:n:n),"
        "$([n;r6]:[n;r6]:[n;r6]:[n;r6])]",
        "1,2,3-oxadiazole": "o1[n+0][n+0]cc1",
        "unusual element": "[!#1;!#5;!#6;!#7;!#8;!#9;!#14;!#15;!#16;!#17;!#35;!#53]",
        # Halogens
        "halogen on a heteroatom": "[#7,#8,#15,#16;!$(S(F)(F)(F)(F)F)][F,Cl,Br,I]",
        "halogen-halogen bond": "[F,Cl,Br,I]~[F,Cl,Br,I]",
        "hypervalent halogen": "[Cl,Br,I;X2,X3,X4]",
        "acyl or imidoyl halide": "[CX3](=[#7,#8,#16])[F,Cl,Br,I]",
        "alpha-halo amine": f"[{_AMINE};{_NOT_ACYL}][CX4][F,Cl,Br,I]",
        "alpha-halo ether or thioether": "[OX2,SX2][CX4][Cl,Br,I]",
        "alpha-fluoro ether or alcohol": "[OX2,SX2H][CX4;!$(C(F)F)]F",
        "fluorinated carbinol": "[OX2H][CX4;!R](F)F",
        "alkyl bromide or iodide": "[CX4;!$(C(F)(F)F)][Br,I]",
        "alkyl chloride": "[CX4;!$(CC[#7]);!$(C(F)F)]Cl",
        "vinyl chloride, bromide or iodide": "[CX3;!R]([Cl,Br,I])=[CX3;!R]",
        "alkynyl halide": "[CX2]#[CX2][F,Cl,Br,I]",
        "cyanogen or its halide": "[NX1]#[CX2][F,Cl,Br,I,$(C#N)]",
        "geminal bromide or iodide": "[CX4;!$(C(F)(F)F)]([Br,I])[Br,I,Cl]",
        "vinylogous acyl halide": "[Cl,Br,I][CX3]=[CX3][CX3]=O",
        "nitrogen mustard": f"[{_AMINE};{_NOT_ACYL};!$(N-P)][CX4][CX4][Cl,Br,I]",
        "activated aryl halide": "[$([F,Cl,Br]c1c(N(~O)~O)cc(N(~O)~O)cc1),"
        "$(Fc1naaan1),$(Fc1nanaa1),"
        "$([F,Cl,Br,I]c1naann1),$([F,Cl,Br,I]c1nanan1),$([F,Cl,Br,I]c1nnana1),"
        "$([F,Cl,Br,I]c1nanna1),$([F,Cl,Br,I]c1nnnaa1)]",
        "halogen on a pyrrole": "[F,Cl,Br,I][$(c1[nH]ccc1),$(c1c[nH]cc1)]",
        "halogen beside a heteroatom of an azolone": "[F,Cl,Br,I][#6X3;r5;"
        "$([#6]1~[#7,#8,#16]~[#6](=[O,S,N])~*~*1),$([#6]1~[#7,#8,#16]~*~[#6](=[O,S,N])~*1)]",
        "fluorofuran": "Fc1occc1",
        "difluoroalkene": "[CX3](F)(F)=[CX3]",
        "silicon-heteroatom bond": "[$([Si]~[!#6;!#1]),$([Si]=*)]",
        "boron halide, boron amide or borane": "[$([#5][F,Cl,Br,I,#7]),$([#6][#5][#6])]",
        # Two heteroatoms on one saturated carbon
        "hemiaminal": f"[{_AMINE}][CX4][OX2H]",
        "hemiacetal or geminal diol": "[OX2][CX4][OX2H]",
        "hemithioacetal": "[SX2][CX4][OX2H,SX2H]",
        "thiol beside nitrogen or oxygen": "[NX3,OX2][CX4][SX2H]",
        "primary aminal": "[NX3H2,NX4H3][CX4][#7,#8,#16;!R;!+]",
        "aminal": f"[{_AMINE};{_NOT_ACYL}][CX4][{_AMINE}]",
        "aminal of an imine": f"[NX2;!$(N[#7,#8]);!$(N=C(N)N)]([CX4][{_AMINE};{_NOT_ACYL}])=C",
        "N,O-acetal or N,S-acetal": f"[{_AMINE};{_NOT_ACYL}][CX4][OX2,SX2]",
        "acyclic acyl aminal": "[NX3;!R][CX4;!R][NX3;!R]",
        "acyl aminal or N,O-acetal": f"[$([NX3;{_ACYL}][CX4][NX3,OX2;!$(N-a)]),"
        f"$([NX3;{_ACYL}][CX4]!@[{_AMINE}])]",
        "acyl N,S-acetal": f"[NX3;{_ACYL}][CX4][SX2;!R]",
        "aryl aminal": "[NX3;$(N-a);!$(N-C=O);!$(N-S=O)][CX4][NX3;!$(N-C=O);!$(N-S=O)]",
        "aryl N,O-acetal or N,S-acetal": "[NX3;$(N-a)][CX4][OX2,SX2]",
        "azole aminal": f"n[CX4][{_AMINE};!$(N-a)]",
        "acyloxymethyl azole": "n[CX4;!R][OX2;!R][CX3]=O",
        "alpha-amino sulfone": "[#7X3,NX4][CX4][SX4;!R](=O)(=O)[#6]",
        "acyclic acetal": "[OX2;!R][CX4;!R;!$(C(F)F);!$(C-n)][OX2,SX2;!R]",
        "acyclic dithioacetal": "[SX2;!R][CX4;!R][SX2;!R]",
        "alkoxy ring ether": "[CX4][OX2;!R][CX4;R;!$(C[CX4][OX2]);!$(C[CX4][CX4][OX2])]@[OX2;R]",
        "hydroxyalkyl azole": "n[CX4;!$(C(F)F);!R][OX2H]",
        "methylene between nitrogen and sulfur": "[NX3;!R][CX4H2;!R][SX2;!R]",
        "three heteroatoms on one carbon": "[CX4]([#7,#8])([#7,#8])[#7,#8,#16]",
        "cyanohydrin or its ester": "[OX2;H1,$(O[CX3]=O)][CX4][CX2]#[NX1]",
        "aminonitrile": "[NX3,NX4;!$(N-C=[O,S,N]);!$(N-S=O)][CX4][CX2]#[NX1]",
        "geminal dinitrile": "[CX4](C#N)C#N",
        "acylal": "[CX3](=O)[OX2;!R][CX4;!R][OX2;!R][CX3]=O",
        # Carbonyls and imines
        "anhydride": "[CX3](=[OX1])[OX2,SX2;!R][CX3]=[OX1,SX1]",
        "cyclic anhydride": "[$([CX3;R](=[OX1])[OX2;R][CX3;R]=[OX1]),$(c(=O)oc=O)]",
        "formate": "[CX3H1](=O)[OX2]",
        "mixed anhydride": "[CX3](=O)[OX2][SX4,PX4]=O",
        "carbonic or carbamic acid": "[NX3,OX2][CX3](=[OX1])[OX2H,OX1-]",
        "thioaldehyde or thioketone": f"[CX3;{_NO_HETERO}]=[SX1]",
        "thioacid": "[CX3](=[OX1,SX1])[SX2H,SX1-]",
        "thioester": "[#6][CX3](=[OX1])[SX2;!R][#6]",
        "acylated azole": "[$([CX3;!R]=[OX1]),$([SX4](=O)=O)][n;r5;$(n:n),$(n:c:n)]",
        "acylated pyridone or oxazolone": "[$([CX3;!R]([#6,#8])=O),$([SX4;!R](=O)=O)]n(c=[O,S])",
        "triacylamine": "[NX3](C=O)(C=O)C=O",
        "azlactone": "[OX2]1[CX3]=[NX2][#6][CX3]1=O",
        "sulfonylpyrimidine": "[#6][SX4](=O)(=O)c(:[n;r6]):[n;r6]",
        "activated ester": "[$([CX3](=O)[OX2][$(c:n),$(n),$(c1c(F)c(F)cc(F)c1F),"
        "$(c1ccc([N+](=O)[O-])cc1)]),$([OX2][CX3](=O)C(F)(F)F)]",
        "acylated sulfonamide": "[CX3](=O)[NX3;!$(N-a)]([#6])[SX4;!R](=O)=O",
        "alkyl sulfonate or sulfate": "[CX4][OX2][SX4](=O)(=O)[#6,$([OX2][#6])]",
        "maleimide": "O=[#6]1[#7][#6](=O)[CX3;H1]=[CX3]1",
        "thionoester or dithioester": "[CX3;!$(C[#7])](=[SX1])[OX2,SX2]",
        "activated alkene": "[CX3H2]=[CX3][$([CX3](=O)[#6]),$([SX3,SX4]=O),$([N+](=O)[O-]),$(C#N)]",
        "alkene between two carbonyls": "O=[#6][CX3;!R]=[CX3;!R][#6]=O",
        "tropone": "O=c1cccccc1",  # stable, but hardly an arene, as which searches take it
        "quinone, quinone methide or xylylene": "[$([O,C]=C1C=CC(=[O,C])C=C1),"
        "$([O,C]=C1C=CC=CC1=[O,C])]",
        "beta-keto acid": "[#6][CX3](=[OX1])[CX4;!$(C(C)(C)(C)C)][CX3](=O)[OX2H,OX1-]",
        "three carbonyls in a row": "[CX3](=O)[CX3](=O)[CX3]=O",
        "acyl cyanide": "[CX3](=O)[CX2]#N",
        "aldehyde": "[CX3H1](=O)[#6]",
        "acyl or sulfonyl imine": "[$([CX3]=O),$([SX4](=O)=O),$([SX3]=O)][NX2]="
        "[CX3;!$(C[#7,#8,#16]);!$(C(=N)~[#7,#8,#16])]",
        "N-unsubstituted imine or imidate": "[CX3;!$(C[#7,#16])]=[NX2H]",
        "exocyclic or acyclic imine": f"[#6;!$(C=[O,S,N])][NX2;!R]=[CX3;{_NO_HETERO}]",
        "cyclic aliphatic imine": f"[CX4][NX2;R]=[CX3;R;{_NO_HETERO};!$(C~a)]",
        "cyclic imine of an aldehyde": f"[CX3H1;R;{_NO_HETERO}]=[NX2;R;!$(N[#7,#8])]",
        "N-unsubstituted formamidine": "[NX2H]=[CX3;H1,H2][#7]",
        "N-cyano azole or azine": "n[CX2]#[NX1]",
        "imidic or thioimidic acid": "[CX3](=[NX2,NX3+])[OX2H,SX2H]",
        "imino tautomer of an aminoazine": "[NX2;!$(N[C,S]=O);!$(N[#7,#8]);!$(NC#N)]="
        "[$(c:[nH]),$(c1cc[nH]cc1)]",
        "tautomer of a pyridone": "[OX2H]c:[nX2;r6]",
        "acyl formamidine": "[$([CX3H1;!R](=[NX2])[NX3]C=O),$([CX3H1;!R]([#7])=[NX2]C=O)]",
        "acyclic imidate or isourea": "[CX3;!R;H1,$(C[#6,#7])](=[NX2;!R;!$(N[#7,#8])])[OX2,SX2;!R]",
        "primary alpha-amino ketone": "[NX3H2,NX4H3][CX4][CX3](=O)[#6]",
        "methylene imine": "[CX3H2]=[#7]",
        "iminium": f"[NX3+;!$(N[OX1-])]=[CX3;{_NO_HETERO}]",
        # Double and triple bonds
        "enol": "[CX3;!$(C=[#7,#8,#16])](=[CX3;!$(C[C,S]=[O,N]);!$(C-C#N);!$(C[N+]=O)])[OX2H]",
        "enethiol": "[CX3]=[CX3][SX2H]",
        "enamine with hydrogen": f"[CX3H1,CX3H2;!R]=[CX3;!R][NX3;H1,H2;{_NOT_ACYL}]",
        "protonated enamine": "[NX4+][CX3]=[CX3]",
        "enamine": f"[NX3;!$(N-C=[O,S,N]);!$(N-S=O)][CX3]=[CX3;{_NO_ACCEPTOR}]",
        "isomer of an unsaturated lactam or lactone": "[NX3,OX2]1[CX3]=[CX3][CX4;!H0][CX3]1=O",
        "acyclic vinylogous carbamate": "[#7,#8,#16][CX3;H1;!R]=[CX3;!R][CX3,SX4]=[O,N]",
        "vinyl ether, sulfide or amine": "[CX3H2]=[CX3;!R][OX2,SX2,NX3]",
        "enol ether or ester": f"[CX3;{_NO_ACCEPTOR}]=[CX3;{_NO_ACCEPTOR}][OX2]"
        "[$([CX4]),$([CX3;!R]=O)]",
        "enol of a dicarbonyl": "[OX2H][CX3;!R]=[CX3;!R]",
        "vinyl sulfide": f"[CX3;{_NO_ACCEPTOR}]=[CX3;{_NO_ACCEPTOR}][SX2][CX4]",
        "dihydropyridine": f"[NX3]1[CX3]=[CX3;{_NO_ACCEPTOR}][CX4;!H0][#6;{_NO_ACCEPTOR}]=,:[#6]1",
        "dihydroazine": "[$([NX3]1[C,N]=[C,N][C,N]=[C,N][CX4;!H0]1),"
        "$([NX3]1[C,N]=N[CX4;!H0][C,N]=[C,N]1),$([NX3]1N=C[CX4;!H0][C,N]=[C,N]1)]",
        "pyran or thiopyran": f"[$([OX2,SX2]1[#6]=[#6;{_NO_ACCEPTOR}][CX4]"
        f"[#6;{_NO_ACCEPTOR}]=[#6]1),"
        f"$([OX2]1[CX4]C=C[#6;{_NO_ACCEPTOR}]=[#6]1),$([OX2,SX2]1C=C[CX4H2]C=C1)]",
        "cyclohexadiene": "[$([CX4;!H0]1[CX4;!H0]C=CC=C1),$([CX4;!H0]1C=C[CX4;!H0]C=C1)]",
        "tautomer of a phenol, toluene or azine": "[$([O,C;X1,X3]=C1[C,N]=[C,N][C,N]=[C,N][CX4]1),"
        "$([O,C;X1,X3]=C1[C,N]=[C,N][CX4;!H0][C,N]=[C,N]1)]",
        "cyclopentadiene, its aza analog or fulvene": "[C;r5;X4,$(C=C);!$(C[NX2]=[NX2])]1"
        "[C,N]=[C,N][C,N]=[C,N]1",
        "isobenzofuran or isoindole": "[o,$([nX3]),s]1:c:c2:c:c:c:c:c2:c1",
        "hydroxyfuran, -pyrrole or -thiophene": "[OX2H][$(c1[o,s,$([nX3])]ccc1),"
        "$(c1c[o,$([nX3])]cc1)]",
        "aminofuran or aminopyrrole": "[NX3;!$(N-C=[O,S,N]);!$(N-S=O)]c1[o,nH]ccc1",
        "terminal diene": "[CX3H2]=[CX3;!R][CX3;!R]=[CX3]",
        "ynol or ynamine": "[CX2]#[CX2][#7,#8;!+]",
        "thioalkyne, cyanate or thiocyanate": "[$([CX2]#[CX2][SX2]),$([NX1]#[CX2][OX2,SX2])]",
        "alkynone or cyanoalkyne": "[CX2]#[CX2][$([CX3;!$(C[#7,#8])]=O),$(C#N)]",
        "cumulene": "[CX2](=[CX3,CX2])=[CX3,CX2]",
        "ketene, isocyanate or carbodiimide": "[CX2](=[CX3,NX2])=[#7,#8,#16]",
        "isonitrile": "[CX1-]#[NX2+]",
        "conjugated diyne": "[CX2]#[CX2][CX2]#[CX2]",
        "carbocation or carbanion": "[#6-,#6+;!$([#6-]#[N+])]",
        "oxonium": "[$([OX3+;!a]),$([OX2+]=*)]",
        "radical or carbene": "[$([#6;+0;v0,v1,v2,v3]),$([#7;+0;v0,v1,v2]),$([#8;+0;v0,v1]),"
        "$([#16;+0;v0,v1,v3,v5]),$([Si;v0,v1,v2,v3]),$([#7+;v0,v1,v2,v3]),$([#8+;v0,v1,v2])]",
        "alkoxide, thiolate or amide ion": "[$([O-,S-][CX4]),$([N-;!$(N=*);!$(N[C,S]=[O,S,N])])]",
        "phenolate, enolate or thiolate": "[$([O-]c),$([O-][CX3]=[#6,#7]),$([S-][#6])]",
        "onium": "[$([SX3+;!a;!$(S=*);!$(S[O-])]),$([PX4+]),$([F,Cl,Br,I;+])]",
        # Strained rings
        "aziridine": "[NX3r3,NX4r3]1[#6][#6]1",
        "azirine, oxirene or thiirene": "[$([#7,#8,#16]1[#6]=[#6,#7]1),$([#6]1=[#7][#6]1)]",
        "epoxide or thiirane": "[OX2r3,SX2r3]1[CX4][CX4]1",
        "three-membered ring with two heteroatoms": "[#7,#8,#16]1~[#7,#8,#16]~[#6,#7,#8,#16]1",
        "cyclopropene": "[#6X3r3]=,:[#6X3r3]",
        "cyclopropanol": "[OX2H][CX4r3]",
        "alkylidenecyclopropane": "[CX3r3]=[CX3;!r3]",
        "cyclopropanone or its imine": "[CX3r3]=[#7,#8]",
        "cyclobutadiene": "[#6]1=,:[#6][#6]=,:[#6]1",
        "cyclobutene or azetine": "[CX3r4]=[CX3r4,NX2r4]",
        "four-membered ring with adjacent heteroatoms": "[#7,#8,#16;r4][#7,#8,#16;r4]",
        "beta-lactone": "[OX2r4][CX3r4]=O",
        "cyclopentadienone or its aza analog": "[#6]1(=[O,S,N])[C,N]=[C,N][C,N]=[C,N]1",
        "conjugated ring of seven or eight": "[$([#6X4,#7,#8,#16;R;!a]1C=CC=CC=C1),"
        "$([#6;!a]1=[#6,#7][#6,#7]=[#6,#7][#6,#7]=[#6,#7][#6,#7]=[#6,#7]1)]",
        "dihydrodioxin, -dithiin or -pyrazine": "[#7,#8,#16;!a]1C=C[#7,#8,#16]C=C1",
        "bridgehead alkene": f"[{_bridged('[C;x3]12=[C,N;R]', 9)}]",
        "bridgehead amide": f"[{_bridged('[#7;x3]12C(=O)', 8)}]",
        "allene or alkyne in a ring": "[$([R;CX2](=[R])=[R]),$([R]#[R])]",
        "fused rings of three or four": "[$([r3]1*2*~*12),$([r3,r4]1~*~[r3]2~*~*12),"
        "$([r3,r4]1~*~[r3,r4]2~*~*~*12)]",
        "spiropentane": "[#6]12([#6][#6]1)[#6][#6]2",
        "four-membered acetal": "[#8,#16;r4]~[r4]~[#7,#8,#16;r4]",
    }
)
"""SMARTS of unstable groups by name."""
